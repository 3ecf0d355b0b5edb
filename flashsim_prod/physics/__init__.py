"""Events in, events out: knows nothing of grids."""
