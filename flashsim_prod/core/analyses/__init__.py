"""Analyses: what their flat ntuples hold."""
