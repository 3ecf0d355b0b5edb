"""The reference detector beside real files, on the same generator events."""
