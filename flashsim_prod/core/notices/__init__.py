"""Who is told when a request ends, fails or idles."""
