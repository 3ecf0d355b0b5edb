"""Where power is read."""
