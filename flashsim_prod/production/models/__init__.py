"""Bundles: training them, keeping them, judging them."""
