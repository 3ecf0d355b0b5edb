"""Requests that belong together: extensions of one sample, campaigns of many."""
