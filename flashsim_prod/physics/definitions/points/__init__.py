"""Working points of other trainings than those that definitions use by default."""
