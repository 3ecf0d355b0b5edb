"""Commands that measure: events per second and joules per event."""
