"""The ledger: requests, their jobs, the attempts at them, and the files that came of it."""
