"""From records of power to energy per event."""
