"""What takes room, and what of it nobody needs any more."""
