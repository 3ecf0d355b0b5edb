"""From what was asked for to a request: cards and sites, plan, place, folder."""
