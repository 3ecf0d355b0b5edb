"""Generator-level events: made by Pythia8 and FastJet, or read from existing files."""
