"""One job on a node: what ``worker`` runs, and nothing that knows a batch system."""
