"""The reference detector moved to quantiles and rank correlations of real files."""
