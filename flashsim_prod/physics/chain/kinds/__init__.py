"""Kinds of model: what draws an object's attributes, each behind one protocol and named in the bundle."""
