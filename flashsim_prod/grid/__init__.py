"""Moves and records: storage, ledger, batch systems, catalogue. Knows nothing of events."""
