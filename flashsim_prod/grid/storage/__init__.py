"""Storage elements: where a logical file name is kept, and how files get there and back."""
