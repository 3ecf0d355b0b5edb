"""Slurm: a request is job arrays, merges that depend on them, and rules for what Slurm does not try again."""
