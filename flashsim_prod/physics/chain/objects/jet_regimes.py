"""Attributes of jets that are of another sort in some jets than in others, a column for each sort.

What the older taggers say is undefined together: a jet has a score of CSVv2 and those of DeepCSV, or of CSVv2
alone, which then is another one, or none. What is taken out for muons is a part of their energy, or rounding;
and muons that are taken out carry much of a jet, those that stay little.
Drawn as they are, with spikes and gaps in several columns at once, such attributes leave regions that no jet
is in and that a flow has to go around by a cliff, which few steps round off. So one column says of which sort
a jet is, and all others are drawn as if every jet had them: first so of the taggers, one form later of muons.
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
#: what a jet has of muons: none, one that stays in it, or one that is taken out
_MUONS, _NONE, _STAYS, _IS_TAKEN = "muons", 0, 1, 2
#: their share of a jet's energy: if they are taken out, and if they stay
_SHARE, _SHARE_STAYING = "muEF_share", "muEF_share_staying"


def with_regimes(plain: ObjectModel) -> ObjectModel:
    """`plain`, a model of jets, with a column for each sort of what is not of one sort."""
    return _with_sorts_of_muons(_with_blind_taggers(plain))


def _with_blind_taggers(plain: ObjectModel) -> ObjectModel:
    """Scores by what the taggers see; what is taken out for muons apart from rounding, their share in one."""
    return replace(
        plain,
        form=plain.form + 1,
        targets=(*plain.targets, *map(Target, (_BLIND, _ALONE, _REST))),
        express=lambda attributes, rows: _express(plain, attributes, rows),
        assemble=lambda drawn, rows: plain.restore(_as_plain(drawn), rows),
        inseparable=(frozenset((*_UNDEFINED, _BLIND, _ALONE)),),
        before=plain,
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
    is_taken = (drawn[_SHARE] > 0) & (drawn[_TAKEN] > _BETWEEN)
    plain[_TAKEN] = np.where(is_taken, drawn[_TAKEN], drawn[_REST])
    return plain


def _with_sorts_of_muons(before: ObjectModel) -> ObjectModel:
    """Shares of muons that are taken out and of those that stay, too, in a column each."""
    return replace(
        before,
        form=before.form + 1,
        targets=(*before.targets, *map(Target, (_MUONS, _SHARE_STAYING))),
        express=lambda attributes, rows: _by_muons(before.express_targets(attributes, rows), attributes),
        assemble=lambda drawn, rows: before.restore(_of_all_muons(drawn), rows),
        inseparable=(*before.inseparable, frozenset((_MUONS, _SHARE, _SHARE_STAYING, _TAKEN, _REST))),
        before=before,
    )


def _by_muons(columns: Mapping[str, Column], attributes: Mapping[str, Column]) -> dict[str, Column]:
    """The columns of the form before, with those of muons by what a jet has of them."""
    share, taken = columns[_SHARE], columns[_TAKEN]
    with_one = np.where(taken > _BETWEEN, _IS_TAKEN, _STAYS)
    muons = np.where(attributes["muEF"] > 0, with_one, _NONE).astype(np.int64)
    # a share and what is taken of it go together in the jet that has both, and in no other one
    return {
        **columns,
        _MUONS: muons,
        _SHARE: filled(share, muons == _IS_TAKEN, seed=0),
        _TAKEN: filled(taken, muons == _IS_TAKEN, seed=1),
        _SHARE_STAYING: filled(share, muons == _STAYS, seed=2),
    }


def _of_all_muons(drawn: Mapping[str, F64]) -> dict[str, F64]:
    """The columns of the form before: one share of all muons, and nothing taken out where they stay."""
    muons, share, staying = drawn[_MUONS], drawn[_SHARE], drawn[_SHARE_STAYING]
    columns = {name: column for name, column in drawn.items() if name not in (_MUONS, _SHARE_STAYING)}
    columns[_SHARE] = np.select([muons == _IS_TAKEN, muons == _STAYS], [share, staying], 0.0)
    columns[_TAKEN] = np.where(muons == _IS_TAKEN, drawn[_TAKEN], 0.0)
    return columns
