"""Catalogues: which files make up which datasets, and where they are."""
