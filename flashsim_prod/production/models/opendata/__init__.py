"""CERN Open Data: records that are fetched or read from afar, and cocktails of them to train on."""
