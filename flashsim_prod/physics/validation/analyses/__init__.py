"""Two Higgs analyses on simulated samples, with and without FlashSim."""
