"""Bringing requests forward: here in the foreground, or with a batch system."""
