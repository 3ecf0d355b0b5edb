"""Distances between samples, with uncertainties of clustered events."""
