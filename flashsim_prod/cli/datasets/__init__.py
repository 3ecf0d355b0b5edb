"""Commands about datasets: list, verify, register, publish, validate."""
