"""The version of NanoAOD that is made."""

#: of requests, bundles and samples that name none
NANO_VERSION = "v9"
