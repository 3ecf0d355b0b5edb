"""Proof that statistics of oversampled events are right."""
