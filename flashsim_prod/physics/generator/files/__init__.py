"""Files in the generator's place: what they hold, what they count for, and whether they are sound."""
