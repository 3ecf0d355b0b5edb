"""The named weights of HepMC events, and the NanoAOD branch that each becomes part of.

Names are each generator's own, so only what is sure by its name goes to the branches that uncertainties are
made of; all others are carried together.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence

from flashsim_prod.core.sources.base import CarriedBranch

SCALE, PDF, SHOWER, OTHER = "LHEScaleWeight", "LHEPdfWeight", "PSWeight", "LHEReweightingWeight"
_WHAT = {
    SCALE: "scale variation weights",
    PDF: "pdf variation weights",
    SHOWER: "parton shower weights",
    OTHER: "all other weights of the event record",
}
#: what generators call the weight that is not varied
_NOMINAL = ("", "weight", "default", "nominal", "central", "0")
_NUMBER = r"=?(\d+(?:\.\d*)?(?:e[+-]?\d+)?)"
#: MUR=0.5__MUF=2__LHAPDF=303600, MUR0.5_MUF2_PDF303600
_VARIED = re.compile(rf"mur{_NUMBER}_+muf{_NUMBER}(?:_+(?:lha)?pdf=?(\d+))?", re.IGNORECASE)
_SHOWER = re.compile(r"(isr|fsr)\W.*", re.IGNORECASE)


def nominal_of(names: Sequence[str]) -> int:
    """Which weight is the event's: the first that is called so, else the first."""
    return next((place for place, name in enumerate(names) if name.strip().lower() in _NOMINAL), 0)


def sorted_into_branches(names: Sequence[str], nominal: int) -> dict[str, tuple[int, ...]]:
    """The places of the weights of each branch, in the order of its entries; no branch without any.

    Scale variations come in the order of their factors, renormalisation before factorisation, as in NanoAOD;
    the parton densities that they have are those of the sample. `PDF` holds the first set of other members,
    numbered without a gap, alone, since an uncertainty is made of all entries; further ones are in `OTHER`.
    """
    varied = {
        place: match
        for place, name in enumerate(names)
        if place != nominal and (match := _VARIED.fullmatch(name.strip()))
    }
    of_scales = [match[3] for match in varied.values() if not _is_central(match)]
    own = max(of_scales, key=of_scales.count) if of_scales else None
    scales = [place for place, match in varied.items() if of_scales and match[3] == own]
    scales.sort(key=lambda place: (float(varied[place][1]), float(varied[place][2])))
    densities = _first_set(
        {place: int(match[3]) for place, match in varied.items() if match[3] and _is_central(match)}, scales
    )
    shower = [
        place for place, name in enumerate(names) if place != nominal and _SHOWER.fullmatch(name.strip())
    ]
    taken = {nominal, *scales, *densities, *shower}
    others = [place for place in range(len(names)) if place not in taken]
    found = {SCALE: scales, PDF: densities, SHOWER: shower, OTHER: others}
    return {name: tuple(places) for name, places in found.items() if places}


def carried_weights(names: Sequence[str], branches: Mapping[str, Sequence[int]]) -> tuple[CarriedBranch, ...]:
    """The branches, with titles that tell which entry is which weight."""
    return tuple(
        CarriedBranch(
            name=branch,
            type="float32",
            collection=branch,
            title=f"{_WHAT[branch]} (w_var / w_nominal); "
            + "; ".join(f"[{entry}] is {names[place]}" for entry, place in enumerate(places)),
        )
        for branch, places in sorted(branches.items())
    )


def _is_central(match: re.Match[str]) -> bool:
    return float(match[1]) == float(match[2]) == 1


def _first_set(members: Mapping[int, int], but: Collection[int]) -> list[int]:
    """The places of the first `members`, by their numbers, that follow each other."""
    found: list[int] = []
    for place, member in members.items():
        if place in but:
            continue
        if found and member != members[found[-1]] + 1:
            break
        found.append(place)
    return found
