"""What numba compiles, in the process that uses it or in one of its own."""
