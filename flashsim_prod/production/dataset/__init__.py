"""What a finished request becomes: files checked, catalogued, published, verified."""
