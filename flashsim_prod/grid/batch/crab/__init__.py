"""The CRAB engine: CMS's own way to its sites, by its own client."""
