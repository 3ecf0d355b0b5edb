"""Kinds that draw the objects of a source together, as a set of any size."""
