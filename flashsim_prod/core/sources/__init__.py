"""Where a request's generator-level events come from: a type for each kind of source."""
