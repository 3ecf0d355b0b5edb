"""Values of events, checked wherever these are."""
