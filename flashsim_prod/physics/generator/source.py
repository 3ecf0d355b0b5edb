"""What a source of generator-level events delivers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol, runtime_checkable

from flashsim_prod.core.report import Accepted
from flashsim_prod.errors import InputError
from flashsim_prod.physics.events import Events

#: scalars of every source, under their NanoAODv9 names
GEN_SCALARS: tuple[str, ...] = (
    "genWeight",
    "GenMET_pt",
    "GenMET_phi",
    "Pileup_nTrueInt",
    "Pileup_nPU",
    "Pileup_sumEOOT",
    "Pileup_sumLOOT",
    "Pileup_pudensity",
    "Pileup_gpudensity",
)

#: scalars of a source that knows them: the generator, and most files
OPTIONAL_SCALARS: tuple[str, ...] = (
    *(f"Generator_{name}" for name in ("binvar", "scalePDF", "weight", "x1", "x2", "xpdf1", "xpdf2")),
    "Generator_id1",
    "Generator_id2",
    *(f"GenVtx_{name}" for name in ("x", "y", "z", "t0")),
)

_KINEMATICS = ("pt", "eta", "phi", "mass")
_FLAVOURS = ("partonFlavour", "hadronFlavour")

#: collections of every source, and their attributes
GEN_COLLECTIONS: dict[str, tuple[str, ...]] = {
    "GenPart": (*_KINEMATICS, "genPartIdxMother", "pdgId", "status", "statusFlags"),
    "GenJet": (*_KINEMATICS, *_FLAVOURS),
}

#: collections of a source that knows them, and their attributes
OPTIONAL_COLLECTIONS: dict[str, tuple[str, ...]] = {
    "GenJetAK8": (*_KINEMATICS, *_FLAVOURS),
    "SubGenJetAK8": _KINEMATICS,
    "GenVisTau": (*_KINEMATICS, "charge", "genPartIdxMother", "status"),
    "GenDressedLepton": (*_KINEMATICS, "pdgId", "hasTauAnc"),
    "GenIsolatedPhoton": _KINEMATICS,
}


class EventSource(Protocol):
    """Generator-level events, in order."""

    def chunks(self, size: int) -> Iterator[Events]:
        """All events in chunks of at most `size`; what an event holds does not depend on `size`."""
        ...


@runtime_checkable
class VetoingSource(Protocol):
    """Generator-level events of which some may be thrown away: those that are left say which they are, by
    the scalar FlashSim_genEvent.
    """

    @property
    def accepted(self) -> Accepted:
        """What was tried so far, and what was left of it."""
        ...

    def specimen(self) -> Events:
        """An event with all branches, for a file that none is left for."""
        ...


def refuse_twins(firsts: Iterable[tuple[str, str]]) -> None:
    """`InputError` if two files begin with the same event.

    Parameters
    ----------
    firsts : iterable of (str, str)
        What each file is called, and a digest of its first event.
    """
    seen: dict[str, str] = {}
    for url, digest in firsts:
        twin = seen.setdefault(digest, url)
        if twin != url:
            raise InputError(
                f"--input: {url} and {twin} begin with the same event: copies, or of one seed; "
                "their events would count twice, leave one out"
            )


def branches_of(collection: str, attributes: tuple[str, ...]) -> tuple[str, ...]:
    """The full branch names of the `attributes` of a collection."""
    return tuple(f"{collection}_{attribute}" for attribute in attributes)


def regrouped(pieces: Iterable[Events], size: int) -> Iterator[Events]:
    """The events of `pieces` in order, `size` at a time; the last batch may hold fewer."""
    waiting, n_waiting = [], 0
    for piece in pieces:
        waiting.append(piece)
        n_waiting += piece.n
        if n_waiting < size:
            continue
        joined = Events.concatenate(waiting)
        whole = n_waiting - n_waiting % size
        yield from (joined.slice(start, start + size) for start in range(0, whole, size))
        waiting, n_waiting = [joined.slice(whole, n_waiting)], n_waiting - whole
    if n_waiting:
        yield Events.concatenate(waiting)
