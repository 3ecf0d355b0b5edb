"""Corrections of fitted models, learned from what they draw beside the truth."""
