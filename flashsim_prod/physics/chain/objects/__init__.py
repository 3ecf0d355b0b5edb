"""The declarations of all object models, one module for each collection."""
