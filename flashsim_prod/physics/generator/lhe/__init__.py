"""Hard processes of LHE files: what the files say, their events, and Pythia8's shower of them."""
