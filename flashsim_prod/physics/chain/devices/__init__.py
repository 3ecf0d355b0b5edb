"""Where networks run: rows get there in blocks, several models' and chunks' together, and come back."""
