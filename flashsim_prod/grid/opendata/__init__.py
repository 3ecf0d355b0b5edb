"""CERN Open Data: what a record of the portal holds, and copies of its files."""
