"""Jets that the older taggers see no tracks of: what these say is undefined together, and one column says so.

A jet has a score of CSVv2 and those of DeepCSV, or of CSVv2 alone, or none. Drawn each for itself, with a
spike where it is undefined, they leave regions that no jet is in and that a flow has to go around by a cliff,
which few steps round off.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from flashsim_prod.physics.chain.forms import F64, filled_along
from flashsim_prod.physics.chain.model import ObjectModel, Rows, Target
from flashsim_prod.physics.events import Column

#: how many of the two taggers see nothing: DeepCSV first
_BLIND = "blind_taggers"
#: scores of jets: from how many blind taggers on they are undefined, and what they then are
_UNDEFINED = {"btagDeepCvB": (1, -1.0), "btagDeepCvL": (1, -1.0), "btagCSVV2": (2, -10.0)}
#: what they go with, defined for every jet
_ALONG = {
    "btagDeepCvB": "btagDeepFlavCvB",
    "btagDeepCvL": "btagDeepFlavCvL",
    "btagCSVV2": "btagDeepFlavCvL",
}


def together(plain: ObjectModel) -> ObjectModel:
    """`plain`, a model of jets, with scores as if always defined and a column that says which of them are."""
    return replace(
        plain,
        form=plain.form + 1,
        targets=(*plain.targets, Target(_BLIND)),
        express=lambda attributes, rows: _express(plain, attributes, rows),
        assemble=lambda drawn, rows: plain.restore(_as_stored(drawn), rows),
        inseparable=frozenset((*_UNDEFINED, _BLIND)),
        plain=plain,
    )


def _express(plain: ObjectModel, attributes: Mapping[str, Column], rows: Rows) -> dict[str, Column]:
    found = plain.express_targets(attributes, rows)
    # a jet without a score of CSVv2 has none of DeepCSV
    blind = np.where(attributes["btagCSVV2"] < 0, 2, (attributes["btagDeepCvB"] < 0).astype(np.int64))
    for name, (since, _) in _UNDEFINED.items():
        found[name] = filled_along(attributes[name], blind < since, attributes[_ALONG[name]])
    return found | {_BLIND: blind}


def _as_stored(drawn: Mapping[str, F64]) -> dict[str, F64]:
    """The columns of the plain model: scores that are undefined are so by their values."""
    stored = {name: column for name, column in drawn.items() if name != _BLIND}
    if _BLIND in drawn:
        stored |= {
            name: np.where(drawn[_BLIND] < since, drawn[name], undefined)
            for name, (since, undefined) in _UNDEFINED.items()
            if name in drawn
        }
    return stored
