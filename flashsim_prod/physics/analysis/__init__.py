"""Models of one analysis: generator-level events to the few numbers that it looks at."""
