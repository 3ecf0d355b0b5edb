"""Commands that make models of a bundle better or cheaper."""
