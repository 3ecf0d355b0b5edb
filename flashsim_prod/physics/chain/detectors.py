"""Which reference detector files, tables and models are of, and the lines that tell of several.

The detector has a digest, which its files say, and all that is made of them. What says none is not known:
FullSim, which has none, and what was made before files said it. It is held against nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flashsim_prod.physics.chain.bundle import ModelEntry

#: where files say it in MetaData, and fits in the entry of their model
DETECTOR_KEY = "detector_digest"
#: where datasets of FlashSim say in MetaData what their models learned from
LEARNED_FROM = "learned_from_detector"
#: what stands for it in lines, where it is not known
NOT_RECORDED = "not recorded"
_AND = " and "
#: names in a line at most
_MOST_NAMED = 3


def detector_of_file(provenance: Mapping[str, Sequence[str]]) -> str:
    """The reference detector that a file says it is of, by its provenance; empty if it says none."""
    # what FlashSim makes of a file is not of the detector
    return "" if "bundle_digest" in provenance else together(provenance.get(DETECTOR_KEY, ()))


def together(digests: Iterable[str]) -> str:
    """What stands for several detectors, of which each may stand for several; empty if one is not known."""
    found = list(digests)
    return _AND.join(sorted({part for one in found for part in one.split(_AND)})) if all(found) else ""


def are_apart(one: str, other: str) -> bool:
    """Whether both are known, and not the same."""
    return bool(one and other) and one != other


def is_mixed(digest: str) -> bool:
    """Whether it stands for several detectors."""
    return _AND in digest


def detectors_of(entries: Mapping[str, ModelEntry]) -> dict[str, str]:
    """The detector of each model of a bundle; empty where it is not known."""
    return {name: str(entry.fit.get(DETECTOR_KEY, "")) for name, entry in entries.items()}


def by_detector(models: Mapping[str, str]) -> dict[str, list[str]]:
    """Models of each detector, in their order; those of which it is not known are of the empty one."""
    found: dict[str, list[str]] = {}
    for name, digest in models.items():
        found.setdefault(digest, []).append(name)
    return found


def told_detectors(entries: Mapping[str, ModelEntry]) -> list[str]:
    """The detectors of a bundle's models, a line each; which models, if they are not all of one."""
    found = by_detector(detectors_of(entries))
    lines = {digest or NOT_RECORDED: names for digest, names in found.items()}
    return [line if len(lines) == 1 else f"{line} ({', '.join(names)})" for line, names in lines.items()]


def unlike(models: Mapping[str, str], others: Mapping[str, str], whose: str, what: str) -> list[str]:
    """Lines on models that are of another detector than what stands beside them; none where it is not known.

    Parameters
    ----------
    models, others : mapping of object model to digest
    whose : str
        Where the models are from, as ``of bundle mine``.
    what : str
        What stands beside them, as ``the tables in W are``.
    """
    apart = {
        name: (digest, others[name])
        for name, digest in models.items()
        if are_apart(digest, others.get(name, ""))
    }
    pairs: dict[tuple[str, str], list[str]] = {}
    for name, pair in apart.items():
        pairs.setdefault(pair, []).append(name)
    return [
        f"{named(names)} {whose} learned from reference detector {mine}, and {what} of {theirs}"
        for (mine, theirs), names in pairs.items()
    ]


def several(models: Mapping[str, str]) -> str:
    """A line on models that learned from several detectors; empty if they did not, as far as is known."""
    found = {digest: names for digest, names in by_detector(models).items() if digest}
    if len(found) < 2 and not any(map(is_mixed, found)):
        return ""
    ways = "; ".join(f"{digest}: {named(names)}" for digest, names in found.items())
    return f"its models learned from several reference detectors, {ways}"


def named(models: Sequence[str]) -> str:
    """Names of models in a line, of many the first."""
    if len(models) <= _MOST_NAMED + 1:
        return ", ".join(models)
    return f"{', '.join(models[:_MOST_NAMED])} and {len(models) - _MOST_NAMED} others"
