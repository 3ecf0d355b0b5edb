"""The weights that an LHE file declares in ``<initrwgt>``, and the NanoAOD branch that each becomes part of.

As CMS's producer of NanoAOD does, variations of the scales and of the parton densities have branches of their
own, and all others share one. What decides is the weight's group: its name, and what its weights say.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

SCALE = "LHEScaleWeight"
PDF = "LHEPdfWeight"
OTHER = "LHEReweightingWeight"

_BLOCK = re.compile(r"<initrwgt\b[^>]*>(.*?)</initrwgt>", re.DOTALL)
_TAG = re.compile(
    r"<weightgroup\b(?P<group>[^>]*)>|(?P<end></weightgroup>)|<weight\b(?P<one>[^>]*)>(?P<text>.*?)</weight>",
    re.DOTALL,
)
_ATTRIBUTE = re.compile(r"""([A-Za-z_]\w*)\s*=\s*(?:"([^"]*)"|'([^']*)')""")
_NUMBER = r"""\s*=\s*["']?\s*([0-9.+\-]+(?:[eEdD][+\-]?[0-9]+)?)"""
_MUR = re.compile(r"(?i)\b(?:mur|renscfact)" + _NUMBER)
_MUF = re.compile(r"(?i)\b(?:muf|facscfact)" + _NUMBER)
_DENSITY = re.compile(r"(?i)\b(?:pdf|pdfset|lhapdf1?|lhapdf)\s*=")
_DYNAMIC = re.compile(r"(?i)\bdyn")
#: ways to combine the weights of a group that only parton densities have
_DENSITY_RULES = ("hessian", "replica", "gaussian")


@dataclass(frozen=True)
class Declared:
    """One weight of ``<initrwgt>``.

    Attributes
    ----------
    id : str
    text : str
        What the file says of it.
    group : str
        Name, or type, of its group; empty outside of any.
    combine : str
        How the group's weights make an uncertainty, if it says.
    place : int
        Number of its group in the file.
    """

    id: str
    text: str
    group: str = ""
    combine: str = ""
    place: int = 0

    @property
    def scales(self) -> tuple[float, float] | None:
        """Factors on the renormalisation and the factorisation scale, if it says both and nothing else."""
        mur, muf = _MUR.search(self.text), _MUF.search(self.text)
        if mur is None or muf is None or _DYNAMIC.search(self.text):
            return None
        try:
            return _number(mur[1]), _number(muf[1])
        except ValueError:
            return None


def declared_weights(header: str) -> tuple[Declared, ...]:
    """All weights that the head of a file declares, in its order, each id once."""
    found: dict[str, Declared] = {}
    place = 0
    for block in _BLOCK.findall(header):
        group: dict[str, str] = {}
        for tag in _TAG.finditer(block):
            if tag["one"] is None:
                place += 1
                group = {} if tag["end"] else _attributes(tag["group"])
                continue
            own = _attributes(tag["one"])
            number = str(len(found) + 1)
            # generators write what a weight is into its text, its attributes, or both
            said = " ".join(f"{key}={value}" for key, value in own.items() if key.lower() != "id")
            text = " ".join(html.unescape(tag["text"]).split()) or said
            name = group.get("name") or group.get("type") or ""
            one = Declared(own.get("id", number), text, name, group.get("combine", "").lower(), place)
            found.setdefault(one.id, one)
    return tuple(found.values())


def sorted_into_branches(weights: Sequence[Declared]) -> dict[str, tuple[Declared, ...]]:
    """The weights of each branch, in the order of its entries; no branch without any.

    Scale variations come in the order of their factors, renormalisation before factorisation, as in
    NanoAOD. `PDF` holds the first set of parton densities alone, since an uncertainty is made of all its
    entries; further ones are in `OTHER`.
    """
    groups: dict[int, list[Declared]] = {}
    for one in weights:
        groups.setdefault(one.place, []).append(one)
    branches: dict[str, list[Declared]] = {SCALE: [], PDF: [], OTHER: []}
    for its in groups.values():
        if _is_of_scales(its):
            for one in its:
                branches[SCALE if one.scales else OTHER].append(one)
        elif _is_of_densities(its) and not branches[PDF]:
            branches[PDF] += its
        else:
            branches[OTHER] += its
    branches[SCALE].sort(key=lambda one: one.scales or (0.0, 0.0))
    return {name: tuple(its) for name, its in branches.items() if its}


def branch_titles(branches: Mapping[str, Iterable[Declared]]) -> dict[str, str]:
    """The documentation of each branch: which entry is which weight of the file."""
    what = {
        SCALE: "LHE scale variation weights",
        PDF: "LHE pdf variation weights",
        OTHER: "LHE reweighting weights",
    }
    return {
        name: f"{what[name]} (w_var / w_nominal); "
        + "; ".join(f"[{number}] is {_told(one)}" for number, one in enumerate(its))
        for name, its in branches.items()
    }


def _told(one: Declared) -> str:
    return " ".join(part for part in (f"id {one.id}", one.text and f"({one.text})") if part)


def _is_of_scales(group: Sequence[Declared]) -> bool:
    name = group[0].group.lower()
    if _is_named_after_densities(group):
        return False
    return any(one.scales for one in group) if "scale" in name else all(one.scales for one in group)


def _is_of_densities(group: Sequence[Declared]) -> bool:
    return _is_named_after_densities(group) or all(_DENSITY.search(one.text) for one in group)


def _is_named_after_densities(group: Sequence[Declared]) -> bool:
    is_rule = any(rule in group[0].combine for rule in _DENSITY_RULES)
    return is_rule or "pdf" in group[0].group.lower()


def _attributes(text: str) -> dict[str, str]:
    return {key: html.unescape(double or single) for key, double, single in _ATTRIBUTE.findall(text)}


def _number(text: str) -> float:
    return float(text.replace("d", "e").replace("D", "e"))
