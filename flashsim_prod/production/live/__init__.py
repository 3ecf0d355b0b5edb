"""How requests stand, on a page that keeps itself up to date and only loopback can reach."""
