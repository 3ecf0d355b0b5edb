"""How often flags, links and working points of central files follow from the other attributes of the file.

    python -m flashsim_prod.physics.validation.flags FILE ...

prints a row for each flag, by the definitions that the chain computes it with: those of Run 2, and from v12
on, where files have the identification of Run 3, those. A file of another version may have definitions of its
own: where these differ, the row says so, and the flag must not be written into that version (section
``other`` of ``nanoaod/versions/names.txt``).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from flashsim_prod.core.names import NANO_RUN3
from flashsim_prod.errors import MissingBranchError
from flashsim_prod.physics.definitions import electrons, jets_muons, links, photons, taus
from flashsim_prod.physics.definitions.egamma import supercluster_eta
from flashsim_prod.physics.definitions.electrons import ElectronPoints
from flashsim_prod.physics.definitions.photons import PhotonPoints
from flashsim_prod.physics.definitions.points import run3
from flashsim_prod.physics.era_of_file import era_of_file
from flashsim_prod.physics.eras import DEFAULT, find_era
from flashsim_prod.physics.events import Collection, Column, Events
from flashsim_prod.physics.nanoaod.reader import NanoFile
from flashsim_prod.physics.nanoaod.schema import Schema
from flashsim_prod.physics.nanoaod.versions.names import declared_in

#: by full name, what the definitions make of the other attributes
Found = Iterator[tuple[str, Column]]


@dataclass(frozen=True)
class Agreement:
    """Of how many objects a flag is what the definitions say."""

    flag: str
    same: int
    number: int

    @property
    def share(self) -> float:
        """`same` of `number`; 1 of none."""
        return self.same / self.number if self.number else 1.0


class _Filled(dict[str, Column]):
    """Attributes of a collection; those that a file lacks are ones, if no flag that it has needs them."""

    def __init__(self, one: Collection, filled: tuple[str, ...] = ()) -> None:
        super().__init__({**{name: np.ones(one.n_objects, np.int32) for name in filled}, **one.columns})

    def __missing__(self, name: str) -> Column:
        raise MissingBranchError(f"the file has no {name}")


@dataclass(frozen=True)
class Points:
    """Working points of a run."""

    electrons: ElectronPoints
    photons: PhotonPoints
    taus: Mapping[str, tuple[float, ...]]
    muon_mva: Callable[[Column], Column] | None = None


_RUN2 = Points(electrons.RUN2, photons.RUN2, taus.WORKING_POINTS)
_RUN3 = Points(run3.ELECTRONS, run3.PHOTONS, run3.TAUS)
#: the first version with identifications of Run 3, the one whose models know their names, and the first with
#: the muons' points of today
_RUN3_FROM, _RUN3_NAMES, _MUON_MVA_FROM = 12, NANO_RUN3, 15


def _jets(events: Events, points: Points) -> Found:
    jets, gen_jets = events["Jet"], events["GenJet"]
    yield "Jet_jetId", jets_muons.jet_id(jets)
    yield "Jet_genJetIdx", links.local(links.jet_gen_jet(jets, gen_jets), gen_jets)


def _pileup(events: Events, points: Points, era: str) -> Found:
    if find_era(era).pileup_id is not None:
        jets = events["Jet"]
        yield "Jet_puId", jets_muons.pileup_id(jets["puIdDisc"], jets["pt"], np.abs(jets["eta"]), era)


def _muons(events: Events, points: Points) -> Found:
    for name, flag in jets_muons.muon_flags(events["Muon"]).items():
        yield f"Muon_{name}", flag
    if points.muon_mva is not None:
        yield "Muon_mvaMuID_WP", points.muon_mva(events["Muon"]["mvaMuID"])


def _muon_truth(events: Events, points: Points) -> Found:
    muons, particles = events["Muon"], events["GenPart"]
    particle = links.muon_gen_part(muons, particles)
    yield "Muon_genPartIdx", links.local(particle, particles)
    yield "Muon_genPartFlav", links.lepton_flavour(particles, particle)


def _jet_muons(events: Events, points: Points) -> Found:
    jets, muons = events["Jet"], events["Muon"]
    first, second, number = links.jet_leptons(links.flat(muons["jetIdx"], muons, jets), muons, jets)
    yield from (("Jet_muonIdx1", first), ("Jet_muonIdx2", second), ("Jet_nMuons", number))


def _electrons(events: Events, points: Points) -> Found:
    found = events["Electron"]
    columns: Mapping[str, Column] = _Filled(found, ("eCorr", "mvaFall17V2Iso", "mvaFall17V2noIso"))
    hidden = {**electrons.track_classes(columns), **electrons.heep_bits(columns)}
    columns = _Filled(found.with_columns(**{**columns, **hidden}))
    rho = events.scalars["fixedGridRhoFastjetAll"][found.event_index]
    for name, flag in electrons.electron_flags(columns, rho, points.electrons).items():
        yield f"Electron_{name}", flag


def _photons(events: Events, points: Points) -> Found:
    found = events["Photon"]
    columns: Mapping[str, Column] = _Filled(
        found, ("eCorr", "cutBased_Fall17V1Bitmap", "mvaID_Fall17V1p1", "pfRelIso03_chg", "mass")
    )
    levels = photons.photon_levels(columns, points.photons)
    columns = _Filled(found.with_columns(**{**columns, **levels}))
    cluster_eta = supercluster_eta(found["eta"], events.scalars["PV_z"][found.event_index])
    for name, flag in photons.photon_flags(columns, cluster_eta, points.photons).items():
        yield f"Photon_{name}", flag


def _taus(events: Events, points: Points) -> Found:
    for name, flag in taus.tau_flags(_Filled(events["Tau"]), points.taus).items():
        yield f"Tau_{name}", flag


_DEFINITIONS: tuple[Callable[[Events, Points], Found], ...] = (
    *(_jets, _muons, _muon_truth, _jet_muons),
    *(_electrons, _photons, _taus),
)
#: energies with the calibration shifted, which are no flags
_NO_FLAGS = ("dEscale", "dEsigma")


def agreements(url: str) -> list[Agreement]:
    """Of each flag of a file that the definitions give: how often they agree.

    What the file lacks, or what the definitions need and it lacks, has no row. A file that does not tell its
    era is taken for one of the default era.
    """
    with NanoFile(url) as file:
        version = file.version
    number = int(version[1:]) if version else 0
    points, near = (_RUN3, _RUN3_NAMES) if number >= _RUN3_FROM else (_RUN2, "")
    if number >= _MUON_MVA_FROM:
        points = replace(points, muon_mva=run3.muon_mva_points)
    with NanoFile(url, Schema.default(), declared=True, near=near) as file:
        names = sorted(file.branches & declared_in(near or version).branches.keys())
        events, era = file.read(names, 0, file.n_entries), era_of_file(file) or DEFAULT
    found: dict[str, Agreement] = {}
    definitions: tuple[Callable[[Events, Points], Found], ...] = (
        *_DEFINITIONS,
        partial(_pileup, era=era),
    )
    for definition in definitions:
        try:
            for name, flag in definition(events, points):
                if events.has_branch(name) and not any(word in name for word in _NO_FLAGS):
                    found[name] = _compared(name, flag, events.branch(name)[0])
        except MissingBranchError:
            continue
    return list(found.values())


def _compared(name: str, flag: Column, stored: Column) -> Agreement:
    same: NDArray[np.bool_] = np.asarray(flag).astype(np.int64) == stored.astype(np.int64)
    return Agreement(name, int(same.sum()), len(same))


def _main(urls: list[str]) -> None:
    columns = {Path(url).stem: {one.flag: one for one in agreements(url)} for url in urls}
    print("| Flag |", " | ".join(columns), "|")
    print("|---|" + "---|" * len(columns))
    for flag in dict.fromkeys(flag for its in columns.values() for flag in its):
        shares = [f"{its[flag].share:.1%}" if flag in its else "-" for its in columns.values()]
        print(f"| `{flag}` |", " | ".join(shares), "|")


if __name__ == "__main__":
    _main(sys.argv[1:])
