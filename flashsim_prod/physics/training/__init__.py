"""FullSim NANOAOD to training tables to fitted models to a bundle."""
