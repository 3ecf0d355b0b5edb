"""Whether what is compared is of the same years: differences between years are none of the models'."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flashsim_prod.errors import InputError
from flashsim_prod.physics.era_of_file import era_of_file
from flashsim_prod.physics.eras import ERAS, era_of_version
from flashsim_prod.physics.nanoaod.reader import NanoFile

_SEEN = "what differs between these is seen, too, and not the models' fault"


@dataclass(frozen=True)
class Years:
    """What a file, or a bundle, is of.

    Attributes
    ----------
    era : str
        Empty if nothing tells it.
    energy_tev : float, optional
        Of its collisions, if anything tells it.
    unknown : str
        What is told of an era that is not known here.
    """

    era: str = ""
    energy_tev: float | None = None
    unknown: str = ""

    @classmethod
    def of(cls, era: str) -> Years:
        """Those of an era."""
        return cls(era, ERAS[era].energy_tev if era else None)

    def __str__(self) -> str:
        at = "" if self.energy_tev is None else f" at {self.energy_tev:g} TeV"
        return f"{self.era}{at}".strip()


#: of what tells nothing
UNKNOWN = Years()


def years_of(file: NanoFile) -> Years:
    """What a file is of; what is not FullSim, and says none, is as its models are."""
    about = file.provenance()
    try:
        era = era_of_file(file)
    except InputError as error:
        return Years(unknown=str(error).partition("; ")[0].removeprefix(f"{file.url}: "))
    if not era and ("detector" in about or "bundle_digest" in about):
        era = era_of_version(about.get("made_for_nano", (file.version,))[0])
    told = set(about.get("energy_tev", ()))
    energy = float(told.pop()) if len(told) == 1 else Years.of(era).energy_tev
    return Years(era, energy)


def remarks(name: str, ours: Sequence[Years], files: Sequence[tuple[str, Years]]) -> tuple[str, ...]:
    """What is to be told of the years of `files` that `name` is compared with: a line for each that differs.

    Parameters
    ----------
    ours : sequence of Years
        Of all that `name` consists of.
    files : sequence of (name, Years)
    """
    own = list(dict.fromkeys(ours))
    if len(own) > 1:
        return (f"{name} is of several years, {' and '.join(str(one) or 'unknown ones' for one in own)}",)
    mine = own[0] if own else UNKNOWN
    return tuple(line for file, theirs in files if (line := _remark(name, mine, file, theirs)))


def _remark(name: str, mine: Years, file: str, theirs: Years) -> str:
    if theirs.unknown:
        return f"{file}: {theirs.unknown}; {_told(name, mine)}; {_SEEN}"
    if not theirs.era:
        return f"{file}: nothing tells its era; {_told(name, mine)}"
    if not mine.era:
        return f"{name}: {mine.unknown or 'nothing tells its era'}; {file} is of {theirs}"
    if mine == theirs:
        return ""
    return f"{file} is of {theirs}, {name} of {mine}: {_SEEN}"


def _told(name: str, mine: Years) -> str:
    return f"{name} is of {mine}" if mine.era else f"nor is that of {name} told"
