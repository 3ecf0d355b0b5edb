"""What object models are in versions of NanoAOD other than the one whose names their declarations use."""
