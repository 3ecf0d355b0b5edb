"""The reference detector: a parametric response, for training, tests and closure; it is not FullSim."""
