"""Object models against the reference they were trained on."""
