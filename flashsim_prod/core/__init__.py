"""The nouns of production, without any input or output."""
