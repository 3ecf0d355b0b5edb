"""Versions of NanoAOD: what each calls what, how files are told apart, drafts of their tables."""
