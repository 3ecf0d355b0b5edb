"""Electric energy: meters, the protocol of a measurement, its uncertainty, what an event costs."""
