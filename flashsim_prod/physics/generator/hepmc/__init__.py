"""Whole events of HepMC3 files, of whatever generator wrote them."""
