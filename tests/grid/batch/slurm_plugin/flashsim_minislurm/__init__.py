"""Slurm as a batch engine of flashsim-prod."""
