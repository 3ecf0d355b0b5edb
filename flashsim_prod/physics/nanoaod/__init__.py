"""NANOAOD files: the schema, reading, writing, merging, checking."""
