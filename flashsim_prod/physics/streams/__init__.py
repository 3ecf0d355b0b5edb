"""Contents of files as they come in: from a disk or a server, plain or gzipped."""
