"""Merging of samples with several numbers of jets: its settings, and the shower that throws events away."""
