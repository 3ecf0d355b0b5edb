"""Campaigns: many requests from one file, planned, made, looked at and ended together."""
