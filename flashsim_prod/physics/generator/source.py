"""What every source of generator-level events delivers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from flashsim_prod.physics.events import Events

#: scalars that every source delivers, under their NanoAODv9 names
GEN_SCALARS: tuple[str, ...] = (
    "genWeight",
    "Generator_binvar",
    "Generator_scalePDF",
    "Generator_weight",
    "Generator_x1",
    "Generator_x2",
    "Generator_xpdf1",
    "Generator_xpdf2",
    "Generator_id1",
    "Generator_id2",
    "GenMET_pt",
    "GenMET_phi",
    "Pileup_nTrueInt",
    "Pileup_nPU",
    "Pileup_sumEOOT",
    "Pileup_sumLOOT",
    "Pileup_pudensity",
    "Pileup_gpudensity",
)

#: collections that every source delivers, with the attributes that each has at least
GEN_COLLECTIONS: dict[str, tuple[str, ...]] = {
    "GenPart": ("pt", "eta", "phi", "mass", "genPartIdxMother", "pdgId", "status", "statusFlags"),
    "GenJet": ("pt", "eta", "phi", "mass", "partonFlavour", "hadronFlavour"),
}


class EventSource(Protocol):
    """Generator-level events, in order."""

    def chunks(self, size: int) -> Iterator[Events]:
        """All events in chunks of at most `size`; what an event holds does not depend on `size`."""
        ...
