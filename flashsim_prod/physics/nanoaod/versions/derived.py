"""What a version has and another has not, but follows from what that has: exact, by definition.

The first is checked on a public file of v15 (to the stored precision); of the others no file has all terms.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from flashsim_prod.physics.events import Column

#: of columns by their full names
Formula = Callable[[Mapping[str, Column]], Column]


@dataclass(frozen=True)
class Derived:
    """A branch of a version from branches that models declare.

    Attributes
    ----------
    needs : tuple of str
        Under the names that models declare; all of one collection, or with one value per event.
    formula : callable
    """

    needs: tuple[str, ...]
    formula: Formula


def _supercluster_eta(given: Mapping[str, Column]) -> Column:
    return given["Electron_eta"] + given["Electron_deltaEtaSC"]


def _shifted(given: Mapping[str, Column]) -> tuple[Column, Column]:
    """MET with the unclustered energy one sigma up, x and y."""
    pt, phi = (given[f"MET_{name}"].astype(np.float64) for name in ("pt", "phi"))
    x = pt * np.cos(phi) + given["MET_MetUnclustEnUpDeltaX"]
    y = pt * np.sin(phi) + given["MET_MetUnclustEnUpDeltaY"]
    return x, y


_UNCLUSTERED = ("MET_pt", "MET_phi", "MET_MetUnclustEnUpDeltaX", "MET_MetUnclustEnUpDeltaY")

#: by the version's own name; which versions have it is said by their tables
DERIVED: Mapping[str, Derived] = {
    "Electron_superclusterEta": Derived(("Electron_eta", "Electron_deltaEtaSC"), _supercluster_eta),
    "PFMET_ptUnclusteredUp": Derived(_UNCLUSTERED, lambda given: np.hypot(*_shifted(given))),
    "PFMET_phiUnclusteredUp": Derived(_UNCLUSTERED, lambda given: np.arctan2(*reversed(_shifted(given)))),
}
