"""Jets that the older taggers see no tracks of: what these say is undefined together, and one column says so.

A jet has a score of CSVv2 and those of DeepCSV, or of CSVv2 alone, which then is another one, or none. Drawn
each for itself, with a spike where it is undefined, they leave regions that no jet is in and that a flow has
to go around by a cliff, which few steps round off.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from flashsim_prod.physics.chain.forms import F64, borrowed, lenders
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


def together(plain: ObjectModel) -> ObjectModel:
    """`plain`, a model of jets, with scores as if always defined and a column that says which of them are."""
    return replace(
        plain,
        form=plain.form + 1,
        targets=(*plain.targets, Target(_BLIND), Target(_ALONE)),
        express=lambda attributes, rows: _express(plain, attributes, rows),
        assemble=lambda drawn, rows: plain.restore(_as_stored(drawn), rows),
        inseparable=frozenset((*_UNDEFINED, _BLIND, _ALONE)),
        plain=plain,
    )


def _express(plain: ObjectModel, attributes: Mapping[str, Column], rows: Rows) -> dict[str, Column]:
    found = plain.express_targets(attributes, rows)
    # a jet without a score of CSVv2 has none of DeepCSV
    blind = np.where(attributes["btagCSVV2"] < 0, 2, (attributes["btagDeepCvB"] < 0).astype(np.int64))
    alike = [attributes[name] for name in _ALIKE]
    seen, alone = (lenders(blind == number, alike) for number in (0, 1))
    found |= {name: borrowed(attributes[name], seen) for name in _UNDEFINED}
    return found | {_BLIND: blind, _ALONE: borrowed(attributes["btagCSVV2"], alone)}


def _as_stored(drawn: Mapping[str, F64]) -> dict[str, F64]:
    """The columns of the plain model: scores that are undefined are so by their values."""
    stored = {name: column for name, column in drawn.items() if name not in (_BLIND, _ALONE)}
    if _BLIND not in drawn:
        return stored
    stored["btagCSVV2"] = np.where(drawn[_BLIND] == 1, drawn[_ALONE], drawn["btagCSVV2"])
    for name, (since, undefined) in _UNDEFINED.items():
        stored[name] = np.where(drawn[_BLIND] < since, stored[name], undefined)
    return stored
