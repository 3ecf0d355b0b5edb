"""A bundle's models brought nearer to another sample: calibrated, and fine-tuned."""
