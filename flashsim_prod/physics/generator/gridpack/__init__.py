"""Gridpacks: tarballs with a script that makes an LHE file of so many events with such a seed."""
