"""Batch systems: who runs a graph of jobs, here or elsewhere."""
