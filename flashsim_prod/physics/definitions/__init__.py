"""What NanoAOD defines: identification, links and flags, computed alike for every detector."""
