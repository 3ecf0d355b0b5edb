"""Commands about requests: make them, see them, drive them."""
