"""What the models of all analyses see of an event: a declared set of generator-level quantities.

They are expressions of the vocabulary of analyses, over NanoAOD's generator-level collections and those that
are named here. The weight of an event is none of them: what a detector does does not depend on it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from flashsim_prod.physics.analysis.expressions import Expression, as_number
from flashsim_prod.physics.analysis.values import F64, Value
from flashsim_prod.physics.chain.features import PILEUP
from flashsim_prod.physics.chain.model import Condition, Scale
from flashsim_prod.physics.events import Events

#: objects at generator level, by name: these can be used in `gen` expressions, too
GEN_OBJECTS: Mapping[str, str] = {
    # stable, prompt or of a prompt tau
    "GenMuon": "sorted(_muons, _muons.pt)",
    "GenElectron": "sorted(_electrons, _electrons.pt)",
    "GenLepton": "sorted(_leptons, _leptons.pt)",
    "GenCleanJet": "away_from(GenJet, GenLepton[GenLepton.pt > 10], 0.4)",
}
_STABLE = "(GenPart.status == 1) & ((GenPart.statusFlags % 2 == 1) | (GenPart.statusFlags % 64 >= 32))"
_NAMED: Mapping[str, str] = {
    "_muons": f"GenPart[{_STABLE} & (abs(GenPart.pdgId) == 13)]",
    "_electrons": f"GenPart[{_STABLE} & (abs(GenPart.pdgId) == 11)]",
    "_leptons": f"GenPart[{_STABLE} & ((abs(GenPart.pdgId) == 11) | (abs(GenPart.pdgId) == 13))]",
    **GEN_OBJECTS,
    "_b": "GenCleanJet[GenCleanJet.hadronFlavour == 5]",
    "_mm": "p4(GenMuon, 0) + p4(GenMuon, 1)",
    "_ee": "p4(GenElectron, 0) + p4(GenElectron, 1)",
    "_j1": "p4(GenCleanJet, 0)",
    "_j2": "p4(GenCleanJet, 1)",
    "_met": "transverse(GenMET_pt, GenMET_phi)",
}


def _declared() -> Iterator[tuple[str, str, Scale]]:
    """Name, expression and scale of each feature; what an event does not have is 0."""
    for short, objects in (("mu", "GenMuon"), ("e", "GenElectron")):
        yield f"n_{short}", f"count({objects}[{objects}.pt > 5])", Scale.LINEAR
        for place in (0, 1):
            yield f"{short}{place + 1}_pt", f"{objects}.pt[{place}]", Scale.LOG1P
            yield f"{short}{place + 1}_eta", f"abs({objects}.eta[{place}])", Scale.LINEAR
        yield f"{short}_charges", f"{objects}.pdgId[0] * {objects}.pdgId[1] / 150", Scale.LINEAR
    for pair in ("mm", "ee"):
        yield f"{pair}_mass", f"mass(_{pair})", Scale.LOG1P
        yield f"{pair}_pt", f"pt(_{pair})", Scale.LOG1P
    for place in range(4):
        jet = f"p4(GenCleanJet, {place})"
        yield f"j{place + 1}_pt", f"GenCleanJet.pt[{place}]", Scale.LOG1P
        yield f"j{place + 1}_eta", f"abs(GenCleanJet.eta[{place}])", Scale.LINEAR
        yield f"j{place + 1}_is_b", f"GenCleanJet.hadronFlavour[{place}] == 5", Scale.LINEAR
        yield f"j{place + 1}_is_c", f"GenCleanJet.hadronFlavour[{place}] == 4", Scale.LINEAR
        yield f"j{place + 1}_met", f"delta_phi({jet}, _met)", Scale.LINEAR
        yield f"j{place + 1}_mu1", f"delta_r({jet}, p4(GenMuon, 0))", Scale.LINEAR
        yield f"j{place + 1}_mu2", f"delta_r({jet}, p4(GenMuon, 1))", Scale.LINEAR
        yield f"j{place + 1}_e1", f"delta_r({jet}, p4(GenElectron, 0))", Scale.LINEAR
    yield "jj_mass", "mass(_j1 + _j2)", Scale.LOG1P
    yield "jj_deta", "abs(eta(_j1) - eta(_j2))", Scale.LINEAR
    yield "jj_dphi", "delta_phi(_j1, _j2)", Scale.LINEAR
    for least in (15, 20, 25, 30, 40):
        yield (
            f"n_jets_{least}",
            f"count(GenCleanJet[(GenCleanJet.pt > {least}) & (abs(GenCleanJet.eta) < 4.7)])",
            Scale.LINEAR,
        )
    yield (
        "n_central",
        "count(GenCleanJet[(GenCleanJet.pt > 25) & (abs(GenCleanJet.eta) < 2.5)])",
        Scale.LINEAR,
    )
    yield "n_b", "count(_b[(_b.pt > 20) & (abs(_b.eta) < 2.5)])", Scale.LINEAR
    yield "ht", "sum(GenCleanJet.pt)", Scale.LOG1P
    yield "ht_30", "sum(GenCleanJet.pt[(GenCleanJet.pt > 30) & (abs(GenCleanJet.eta) < 4.7)])", Scale.LOG1P
    yield "met", "GenMET_pt", Scale.LOG1P
    yield "met_mu1", "delta_phi(_met, p4(GenMuon, 0))", Scale.LINEAR
    yield "met_e1", "delta_phi(_met, p4(GenElectron, 0))", Scale.LINEAR
    for name in PILEUP:
        yield f"pileup_{name}", f"Pileup_{name}", Scale.LINEAR


_FEATURES = tuple(_declared())
_EXPRESSIONS = {name: Expression(text, f"feature {name}") for name, text, _ in _FEATURES}
_OBJECTS = {name: Expression(text, f"generator-level {name}") for name, text in _NAMED.items()}

#: as the networks see them, before standardisation
CONDITIONS = tuple(Condition(name, scale) for name, _, scale in _FEATURES)


def gen_names(events: Events) -> dict[str, Value]:
    """The named generator-level objects of `events`."""
    names: dict[str, Value] = {}
    for name, expression in _OBJECTS.items():
        names[name] = expression(events, names)
    return names


def features(events: Events, names: Mapping[str, Value]) -> dict[str, F64]:
    """All features, arrays of shape (n_events,)."""
    found = {}
    for name, expression in _EXPRESSIONS.items():
        values = as_number(expression(events, names), events.n, expression)
        found[name] = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    return found
