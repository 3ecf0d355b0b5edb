"""Commands about many requests together."""
