"""Constituents of jets: candidates of particle flow, and what they sum up to."""
