"""Students of flows: the same networks, taught to walk in a few steps where their teachers take many."""
