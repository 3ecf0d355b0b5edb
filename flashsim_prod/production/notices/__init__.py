"""Telling people, and other programs, when a request ends, fails or idles."""
