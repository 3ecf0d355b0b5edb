"""Whole files of NANOAOD in memory, as every tool of the field reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import awkward as ak
import uproot


def as_arrays(paths: Sequence[Path], attrs: Mapping[str, Any]) -> ak.Array:
    """The events of finished files, end to end, with a field for each branch.

    Parameters
    ----------
    paths : sequence of Path
        At least one; all have the same branches.
    attrs : mapping of str to object
        What the array is to carry along.

    Returns
    -------
    ak.Array
        What ``uproot.open(path)["Events"].arrays()`` gives.
    """
    parts = []
    for path in paths:
        with uproot.open(path) as file:
            parts.append(file["Events"].arrays())
    events = parts[0] if len(parts) == 1 else ak.concatenate(parts)
    return ak.with_name(events, None, attrs=dict(attrs))
