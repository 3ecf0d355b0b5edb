"""Fidelity: how close produced events are to those that the models were to learn."""
