"""One look at an input file when a request is made: what it holds, counts for, and tells of its process."""

from __future__ import annotations

import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flashsim_prod.core.sources.base import CarriedBranch
from flashsim_prod.errors import InputError
from flashsim_prod.physics.events import Events
from flashsim_prod.physics.generator.source import (
    GEN_COLLECTIONS,
    GEN_SCALARS,
    OPTIONAL_COLLECTIONS,
    OPTIONAL_SCALARS,
    branches_of,
)
from flashsim_prod.physics.nanoaod.carried import carried_branches
from flashsim_prod.physics.nanoaod.reader import NanoFile
from flashsim_prod.physics.nanoaod.runs import RunSums, own_sums, read_runs

#: what is drawn where a file lacks it, branch by branch
DRAWN = tuple(name for name in (*GEN_SCALARS, *OPTIONAL_SCALARS) if name.startswith(("Pileup_", "GenVtx_")))
#: what a file must hold
REQUIRED = (
    *(name for name in GEN_SCALARS if name not in DRAWN),
    *(branch for name, attributes in GEN_COLLECTIONS.items() for branch in branches_of(name, attributes)),
)
#: branches that a file has as a whole or that count as absent
OPTIONAL_GROUPS: tuple[tuple[str, ...], ...] = (
    *((name,) for name in OPTIONAL_SCALARS if name not in DRAWN),
    *(branches_of(name, attributes) for name, attributes in OPTIONAL_COLLECTIONS.items()),
)
#: the input's own numbering
NUMBERING = ("run", "luminosityBlock", "event")

_READ = frozenset((*REQUIRED, *DRAWN, *NUMBERING, *(name for group in OPTIONAL_GROUPS for name in group)))
#: what is of the generator's side of a file, and so worth telling of when it is lost
_GENERATORS = re.compile(r"(Sub)?[Gg]en[A-Z_]\w*|Pileup_\w+|LHE\w*|HTXS_\w+|PSWeight\w*")
#: events that are looked at for the particles of the hard process
_SAMPLED = 100
#: events of each file that are looked through for values that are no numbers
LOOKED_THROUGH = 1000
_HARD_PROCESS = 1 << 7
_HEAVY = (6, 23, 24, 25)
#: energies that there were or will be collisions at [TeV]
_ENERGIES_TEV = (0.9, 2.36, 2.76, 5.02, 5.36, 7.0, 8.0, 13.0, 13.6, 14.0, 100.0)
#: sums of weights that were stored as float32 and summed otherwise differ by less, of the sum of all sizes
_SUMS_AGREE = 1e-4


@dataclass(frozen=True)
class FileLook:
    """What one look at a file told.

    Attributes
    ----------
    identifier : uuid.UUID
        The file's own: a copy has the same.
    names : frozenset of str
        The branches that are read of it, those carried with them.
    lost : frozenset of str
        Generator-level branches that it has and that are not.
    sums : RunSums
        Of its tree Runs, else of its own events.
    trouble : str
        Why its own events had to do; empty if they had not.
    heavy : frozenset of int
        PDG ids of top quarks and bosons in the hard process of at least half of its events; None if the file
        marks no hard process.
    energy_tev : float or None
        From the momenta of the incoming partons and their fractions, or from what made the file.
    dataset : str or None
        What the file itself says that it is of.
    unusual : frozenset of str
        Carried branches with values that are no finite numbers, in the first `LOOKED_THROUGH` events.
    """

    url: str
    entries: int
    identifier: uuid.UUID
    names: frozenset[str]
    lost: frozenset[str]
    carried: tuple[CarriedBranch, ...]
    sums: RunSums
    trouble: str
    heavy: frozenset[int] | None
    energy_tev: float | None
    dataset: str | None
    unusual: frozenset[str] = frozenset()

    @property
    def absent(self) -> tuple[str, ...]:
        """Branches of the generator's side that it lacks and that are not drawn."""
        return tuple(
            name for group in (REQUIRED, *OPTIONAL_GROUPS) for name in group if name not in self.names
        )


def look_at(url: str) -> FileLook:
    """Look at an input file.

    Raises
    ------
    InputError
        The file is missing, truncated, not ROOT or empty, or its weights are no numbers; the line says which.
    """
    with NanoFile(url) as file:
        if not file.n_entries:
            raise InputError(f"{url} holds no events; leave it out")
        carried = carried_branches(file, _READ)
        names = (_READ & file.branches) | {one.name for one in carried}
        lost = {name for name in file.branches - names if _GENERATORS.fullmatch(name)}
        if file.branches.issuperset(REQUIRED):
            file.first(sorted(names))
        sums, trouble = _sums(file)
        made = {name: texts[0] for name, texts in file.provenance().items() if texts}
        return FileLook(
            url=url,
            entries=file.n_entries,
            identifier=file.identifier,
            names=frozenset(names),
            lost=frozenset(lost),
            carried=carried,
            sums=sums,
            trouble=trouble,
            heavy=_heavy(file),
            energy_tev=_told_energy(made.get("energy_tev")) or _energy(file),
            dataset=made.get("dataset"),
            unusual=_unusual(file, carried),
        )


def _unusual(file: NanoFile, carried: Sequence[CarriedBranch]) -> frozenset[str]:
    """Which of the `carried` branches hold values that are no finite numbers."""
    names = [one.name for one in carried if np.dtype(one.type).kind == "f"]
    found = file.first(names, LOOKED_THROUGH)
    return frozenset(name for name in names if not np.isfinite(found.branch(name)[0]).all())


def _sums(file: NanoFile) -> tuple[RunSums, str]:
    if "genWeight" not in file.branches:
        return RunSums(file.n_entries, 0.0, 0.0), "no genWeight"
    own = own_sums(file)
    told = read_runs(file.url)
    if told is None:
        return own, "no sums in Runs"
    room = np.sqrt(own.count * own.sumw2) * _SUMS_AGREE
    if not np.isfinite([told.sumw, told.sumw2]).all() or told.count < own.count or not told.sumw:
        return own, f"Runs tells of {told.count} events with a sum of weights of {told.sumw:g}"
    if told.count == own.count and not abs(told.sumw - own.sumw) <= room:
        return own, f"Runs has genEventSumw = {told.sumw:g}, the events have {own.sumw:g}"
    return told, ""


def _sampled(file: NanoFile, names: tuple[str, ...]) -> Events | None:
    if not file.branches.issuperset(names):
        return None
    return file.first(names, _SAMPLED)


def _heavy(file: NanoFile) -> frozenset[int] | None:
    sampled = _sampled(file, ("GenPart_pdgId", "GenPart_statusFlags"))
    if sampled is None:
        return None
    parts = sampled["GenPart"]
    is_hard = (parts["statusFlags"].astype(np.int64) & _HARD_PROCESS) != 0
    if not is_hard.any():
        return None
    kind = np.abs(parts["pdgId"])
    events = {one: len(np.unique(parts.event_index[is_hard & (kind == one)])) for one in _HEAVY}
    return frozenset(one for one, number in events.items() if 2 * number >= sampled.n)


def _told_energy(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None


def _energy(file: NanoFile) -> float | None:
    """From the incoming partons: their momenta over their fractions of the beams'."""
    sampled = _sampled(file, ("LHEPart_incomingpz", "Generator_x1", "Generator_x2"))
    if sampled is None:
        return None
    parts = sampled["LHEPart"]
    if (parts.counts < 2).any():
        return None
    beams = [
        np.abs(parts["incomingpz"][parts.starts + side]) / sampled.scalars[f"Generator_x{side + 1}"]
        for side in (0, 1)
    ]
    return nearest_energy(beams[0] + beams[1])


def nearest_energy(energies_gev: NDArray[np.floating]) -> float | None:
    """The centre-of-mass energy [TeV] that most of some rounded ones mean."""
    good = energies_gev[np.isfinite(energies_gev)]
    found = float(np.median(good)) / 1000 if len(good) else 0.0
    near = min(_ENERGIES_TEV, key=lambda one: abs(one - found))
    return near if abs(near - found) < 0.005 * near else None
