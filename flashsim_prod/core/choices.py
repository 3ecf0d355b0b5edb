"""What can be chosen from, once for the models that files hold and for the options of commands.

Only names: pydantic and typer both take an enumeration as it is, and neither is loaded for one.
"""

from __future__ import annotations

from enum import StrEnum


class Device(StrEnum):
    """Where the networks run."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


class Solver(StrEnum):
    """How the flows are integrated."""

    EULER = "euler"
    MIDPOINT = "midpoint"
    AB2 = "ab2"


class CatalogKind(StrEnum):
    """Which catalogue is asked about a dataset, or told of one."""

    LOCAL = "local"
    RUCIO = "rucio"


class RegisterIn(StrEnum):
    """Where a request's dataset is to be registered, if anywhere."""

    LOCAL = "local"
    RUCIO = "rucio"
    NONE = "none"


class Mode(StrEnum):
    """What kind of work a measurement of energy is of."""

    GPU = "gpu"
    CPU = "cpu"
    FULLSIM = "fullsim"
    COMMAND = "command"
    IDLE = "idle"
    TRAIN = "train"


class Network(StrEnum):
    """The two networks of an object model."""

    FLOW = "flow"
    MULTIPLICITY = "multiplicity"
