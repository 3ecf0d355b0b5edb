"""The command line: parse, call one function of production, show what came of it."""
