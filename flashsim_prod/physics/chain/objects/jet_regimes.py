"""Attributes of jets that are of another sort in some jets than in others, a column for each sort.

What the older taggers say is undefined together: a jet has a score of CSVv2 and those of DeepCSV, or of CSVv2
alone, which then is another one, or none. What is taken out for muons is a part of their energy, or rounding.
Drawn as they are, with spikes and gaps in several columns at once, such attributes leave regions that no jet
is in and that a flow has to go around by a cliff, which few steps round off. So one column says of which sort
a jet is, and all others are drawn as if every jet had them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from flashsim_prod.physics.chain.forms import F64, borrowed, filled, lenders
from flashsim_prod.physics.chain.model import ObjectModel, Rows, Target
from flashsim_prod.physics.events import Column

#: how many of the two taggers see nothing: DeepCSV first
_BLIND = "blind_taggers"
#: the score of CSVv2 where that of DeepCSV is undefined: close to the one that no track gives
_ALONE = "btagCSVV2_alone"
#: scores of jets: from how many blind taggers on they are undefined, and what they then are
_UNDEFINED = {"btagDeepCvB": (1, -1.0), "btagDeepCvL": (1, -1.0), "btagCSVV2": (2, -10.0)}
#: what jets are alike in that lend each other scores; defined for every jet
_ALIKE = ("btagDeepFlavCvB", "btagDeepFlavCvL")
#: what is taken out for muons over their energy, if it is above a number; and the rounding where nothing is
_TAKEN, _BETWEEN, _REST = "muonSubtraction", 0.3, "muonSubtraction_rest"


def with_regimes(plain: ObjectModel) -> ObjectModel:
    """`plain`, a model of jets, with a column for each sort of what is not of one sort."""
    return replace(
        plain,
        form=plain.form + 1,
        targets=(*plain.targets, *map(Target, (_BLIND, _ALONE, _REST))),
        express=lambda attributes, rows: _express(plain, attributes, rows),
        assemble=lambda drawn, rows: plain.restore(_as_plain(drawn), rows),
        inseparable=frozenset((*_UNDEFINED, _BLIND, _ALONE)),
        plain=plain,
    )


def _express(plain: ObjectModel, attributes: Mapping[str, Column], rows: Rows) -> dict[str, Column]:
    found = plain.express_targets(attributes, rows)
    score = attributes["btagCSVV2"]
    # a jet without a score of CSVv2 has none of DeepCSV
    blind = np.where(score < 0, 2, (attributes["btagDeepCvB"] < 0).astype(np.int64))
    seen = lenders(blind == 0, [attributes[name] for name in _ALIKE])
    found |= {name: borrowed(attributes[name], seen) for name in _UNDEFINED}
    found |= {_BLIND: blind, _ALONE: filled(score, blind == 1)}
    part, with_muon = found[_TAKEN], attributes["muEF"] > 0
    is_taken = part > _BETWEEN
    found[_REST] = filled(part, ~is_taken)
    found[_TAKEN] = filled(np.where(is_taken, part, 0.0), with_muon)
    return found


def _as_plain(drawn: Mapping[str, F64]) -> dict[str, F64]:
    """The columns of the plain model: what is undefined, or of another sort, is so by its values."""
    plain = {name: column for name, column in drawn.items() if name not in (_BLIND, _ALONE, _REST)}
    if _BLIND in drawn:
        plain["btagCSVV2"] = np.where(drawn[_BLIND] == 1, drawn[_ALONE], drawn["btagCSVV2"])
        for name, (since, undefined) in _UNDEFINED.items():
            plain[name] = np.where(drawn[_BLIND] < since, plain[name], undefined)
    is_taken = (drawn["muEF_share"] > 0) & (drawn[_TAKEN] > _BETWEEN)
    plain[_TAKEN] = np.where(is_taken, drawn[_TAKEN], drawn[_REST])
    return plain
