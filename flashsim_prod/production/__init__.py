"""The hall: the only place where physics and grid meet."""
