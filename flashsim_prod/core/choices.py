"""What can be chosen from, once for the models that files hold and for the options of commands.

Only names: pydantic and typer both take an enumeration as it is, and neither is loaded for one.
"""

from __future__ import annotations

from dataclasses import dataclass
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


class FileFormat(StrEnum):
    """What the files of a dataset are; each value is how their names end, too."""

    ROOT = "root"
    PARQUET = "parquet"


class Mode(StrEnum):
    """What kind of work a measurement of energy is of."""

    GPU = "gpu"
    CPU = "cpu"
    FULLSIM = "fullsim"
    COMMAND = "command"
    IDLE = "idle"
    TRAIN = "train"


class ModelKind(StrEnum):
    """What draws the attributes of an object model."""

    FLOW = "flow"
    SPLINE = "spline"
    GAN = "gan"
    BIBAE = "bibae"
    CLOUD = "cloud"


class WeightUse(StrEnum):
    """What is done with the weights that bring a model's draws nearer to the truth."""

    RESAMPLE = "resample"
    WEIGHT = "weight"


@dataclass(frozen=True)
class AsOption:
    """Beside a field's type, in ``Annotated``; its description is the option's help, its bound the option's.

    Attributes
    ----------
    name : str or None
        ``--name`` of the option; that of the field by default.
    metavar : str or None
        What stands for its value in the help.
    is_common : bool
        Whether a command that takes a file of these fields has it as an option as well.
    typed : type, optional
        What is typed, where that is not yet what the field holds: words that the field's validator reads.
    """

    name: str | None = None
    metavar: str | None = None
    is_common: bool = False
    typed: type | None = None

    def of(self, field: str) -> str:
        """Name of the option that stands for `field`."""
        return self.name or f"--{field.replace('_', '-')}"
