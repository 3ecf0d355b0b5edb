"""Quantiles and rank correlations of the reference detector and of real files, by source and attribute.

A table is text: of each source its names, a line with the curve of each before and after, and a line of
correlations of each with those above it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from flashsim_prod.physics.chain.model import ObjectModel, Rows
from flashsim_prod.physics.detector.draws import Bools, Floats
from flashsim_prod.physics.detector.retuning.curves import Curve
from flashsim_prod.physics.events import Column

#: what decides whether an object is kept, where it is, and what it is: not moved
KEPT = frozenset(
    {
        *("pt", "eta", "phi", "charge", "abs_eta", "side", "flavour", "distance", "bearing", "jetShare"),
        *("deta", "dphi", "muonSubtraction", "muEF_share", "chEmEF_share"),
    }
)
#: of what is in `KEPT`, what is moved all the same, by the product: no threshold cuts the pt of vertices
_MOVED = {"SV": frozenset({"pt"})}
#: and what is not: masses peak where the particles' are, whatever the process, what is groomed hangs on the
#: uncalibrated pt
_MASSES = frozenset({"mass", "rawFactor", "particleNet_mass"})
#: nor what was fitted against more than is known here
_FITTED = frozenset({"TkMET_x", "TkMET_y", "CaloMET_x", "CaloMET_y"})
_PRONGED = ("FatJet", "SubJet")
#: columns of the source that attributes go with
_OF_SOURCE = ("pt", "eta", "rho", "in_jet", "jet_pt", "jet_photon", "jet_charged")
#: where jets begin to leave the tracker, and the flavour of those with a bottom hadron
_TRACKED, _BOTTOM = 2.4, 5
#: jets of generator jets; a score that is negative without tracks; the share from which a jet is its lepton
_SIGNAL, _TAGGED, _MOSTLY = "jet_from_genjet", "btagDeepCvB", 0.5
#: least eigenvalue of a matrix of correlations
_LEAST = 0.02


@dataclass(frozen=True)
class Source:
    """What is known of one source's objects.

    Attributes
    ----------
    names : tuple of str
        What stays first, then what is moved.
    before : mapping of str to Curve
        The parametric response, of all names.
    after : mapping of str to Curve
        Real files, of what is moved.
    correlations : pair of arrays of shape (n, n)
        Of normal scores, before and after.
    """

    names: tuple[str, ...]
    before: Mapping[str, Curve]
    after: Mapping[str, Curve]
    correlations: tuple[Floats, Floats]

    @cached_property
    def turn(self) -> Floats:
        """Normal scores times this have the correlations of real files instead of those before."""
        first, second = (np.linalg.cholesky(_regular(one)) for one in self.correlations)
        return np.asarray(np.linalg.solve(first.T, second.T))


#: by the name of the object model, or `parts` of it
Table = Mapping[str, Source]


def parts(model: ObjectModel, rows: Rows, targets: Mapping[str, Column]) -> dict[str, Bools]:
    """Which objects of a model are alike, by the name that tables have for these.

    Jets with no track for the older taggers are a part, since what these say is undefined together or not at
    all, and so are those that are a lepton: taggers and regressions see these as nothing else.
    """
    found = {"": np.ones(len(rows), bool)}
    if model.produces == "Jet":
        forward = np.abs(rows["eta"] if "eta" in rows.columns else targets["abs_eta"]) > _TRACKED
        if _TAGGED in targets:
            trackless = targets[_TAGGED] < 0
            found = {".trackless": trackless & ~forward, ".forward": trackless & forward, "": ~trackless}
        elif model.name == _SIGNAL:
            found = {".forward": forward, "": ~forward}
    if model.name == _SIGNAL:
        others = found.pop("")
        lepton = others & (_TAGGED in targets) & (_leptons(targets) > _MOSTLY)
        bottom = others & ~lepton & (rows["hadronFlavour"] == _BOTTOM)
        found |= {".lepton": lepton, ".bottom": bottom, ".light": others & ~lepton & ~bottom}
    return {f"{model.name}{name}": chosen for name, chosen in found.items()}


def _leptons(targets: Mapping[str, Column]) -> Floats:
    """The share of a jet's energy in muons, and in electrons or what is mistaken for them."""
    muons = np.asarray(targets["muEF_share"], np.float64)
    return muons + (1.0 - muons) * targets["chEmEF_share"]


def kept(model: ObjectModel) -> frozenset[str]:
    """Targets of a model that are not moved."""
    more = _MASSES if model.produces == "FatJet" else frozenset()
    return (KEPT | _FITTED | more) - _MOVED.get(model.produces, frozenset())


def goes_together(model: ObjectModel) -> bool:
    """Whether a model's attributes get the correlations of real files.

    Not those of fat jets, which in one process have other particles inside than in another.
    """
    return model.produces not in _PRONGED


def covariates(model: ObjectModel, targets: Mapping[str, Column], rows: Rows) -> dict[str, Floats]:
    """What is not moved, but goes with what is."""
    found = {name: targets[name].astype(np.float64) for name in targets if name in kept(model)}
    for name in _OF_SOURCE:
        if name in rows.columns:
            found[f"source_{name}"] = np.abs(rows.columns[name].astype(np.float64))
    return found


def _regular(correlations: Floats) -> Floats:
    values, vectors = np.linalg.eigh(correlations)
    whole = (vectors * np.maximum(values, _LEAST)) @ vectors.T
    size = np.sqrt(np.diag(whole))
    return np.asarray(whole / np.outer(size, size))


def written(table: Table, about: str) -> str:
    """The text of a table, with a first line that says what it is of."""
    lines = [f"# {about}"]
    for model, source in table.items():
        lines.append(f"source {model}")
        for place, name in enumerate(source.names):
            after = source.after.get(name)
            lines.append(f"{name} | {_of(source.before[name])} | {_of(after) if after else ''}")
            rows = (one[place, :place] for one in source.correlations)
            lines.append("| ".join(" ".join(f"{value:.2f}" for value in row) for row in rows))
    return "\n".join(lines) + "\n"


def parse(text: str) -> Table:
    """Undoes `written`."""
    found: dict[str, Source] = {}
    blocks = "\n".join(line for line in text.splitlines() if not line.startswith("#")).split("source ")
    for block in blocks[1:] if len(blocks) > 1 else []:
        model, *lines = block.rstrip("\n").split("\n")
        heads, tails = [line.split("|") for line in lines[::2]], [line.split("|") for line in lines[1::2]]
        names = tuple(head[0].strip() for head in heads)
        before = {name: _curve(head[1]) for name, head in zip(names, heads, strict=True)}
        after = {name: _curve(head[2]) for name, head in zip(names, heads, strict=True) if head[2].strip()}
        matrices = tuple(_matrix([tail[side] for tail in tails]) for side in (0, 1))
        found[model] = Source(names, before, after, (matrices[0], matrices[1]))
    return found


def _of(curve: Curve) -> str:
    return " ".join(f"{share:g}:{value:g}" for share, value in zip(curve.share, curve.value, strict=True))


def _curve(text: str) -> Curve:
    pairs = [one.split(":") for one in text.split()]
    return Curve(tuple(float(share) for share, _ in pairs), tuple(float(value) for _, value in pairs))


def _matrix(rows: list[str]) -> Floats:
    matrix = np.eye(len(rows))
    for place, row in enumerate(rows):
        values = [float(value) for value in row.split()]
        matrix[place, :place] = matrix[:place, place] = values
    return matrix
