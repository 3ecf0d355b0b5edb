"""A dataset against a reference, figure by figure."""
