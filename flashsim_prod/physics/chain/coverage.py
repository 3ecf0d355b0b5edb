"""What becomes of a bundle's attributes in a version of NanoAOD: written, left out and why, or not made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from flashsim_prod.physics.chain.bundle import Bundle
from flashsim_prod.physics.chain.compatibility import check_models
from flashsim_prod.physics.chain.left_out import run_over_no_events
from flashsim_prod.physics.chain.model import ObjectModel
from flashsim_prod.physics.definitions.vertices import MOST_OTHER_VERTICES, other_vertices
from flashsim_prod.physics.events import WEIGHT, Events, full_name
from flashsim_prod.physics.nanoaod.schema import Schema
from flashsim_prod.physics.nanoaod.versions.names import writing

#: what is made whatever the models are, by the generator and by the numbering of events
_GIVEN = ("run", "luminosityBlock", "event", "FlashSim_oversample")


@dataclass(frozen=True)
class Coverage:
    """A version of NanoAOD as a bundle can give it.

    Attributes
    ----------
    version, made_for : str
        Of what is written, and of what the models were fitted to.
    renamed : mapping of str to str
        The version's names of what models declare under another one.
    left_out : mapping of str to str
        What models make and is not written, with the reason.
    otherwise : mapping of str to str
        Collections of the version that hold something else, and what.
    absent : tuple of str
        The version's branches that no model makes.
    """

    version: str
    made_for: str
    renamed: dict[str, str]
    left_out: dict[str, str]
    otherwise: dict[str, str]
    absent: tuple[str, ...]


def made_branches(models: Sequence[ObjectModel], where: str = "") -> list[str]:
    """The branches that `models` make, or are given, under the names that they declare."""
    events = run_over_no_events(models, Schema.default(), where)
    if "PV_npvs" in events:
        vertices = other_vertices(events.scalars, np.zeros((0, MOST_OTHER_VERTICES)))
        events = events.with_collections({"OtherPV": vertices})
    return list(dict.fromkeys((*_GIVEN, *_branches(events))))


def _branches(events: Events) -> Iterable[str]:
    yield from events.scalars
    for name, one in events.collections.items():
        yield from (full_name(name, key) for key in one.columns)


def coverage(models: Sequence[ObjectModel], made_for: str, version: str) -> Coverage:
    """What becomes of what `models` make in `version`; `RequestError` if there are no tables of that."""
    way = writing(made_for, version)
    made = made_branches(models)
    left_out = {name: why for name in made if (why := way.why_not(name))}
    kept = {way.dialect.own(name): name for name in made if name not in left_out}
    derived = {name for name, one in way.derived.items() if set(one.needs) <= set(made)}
    return Coverage(
        version,
        made_for,
        {own: name for own, name in kept.items() if own != name},
        left_out,
        {
            name: what
            for name, what in way.otherwise.items()
            if any(one.startswith(f"{name}_") for one in kept)
        },
        # weights are there where a bundle has such a model, and lacking nowhere
        tuple(name for name in way.schema.branches if name not in {*kept, *derived, WEIGHT}),
    )


def remarks(bundle: Bundle, version: str) -> Iterator[str]:
    """What is not as the version has it if the models of `bundle` were made for another; a line each."""
    if bundle.nano == version:
        return
    found = coverage(check_models(bundle), bundle.nano, version)
    yield (
        f"NanoAOD {version} by models made for {bundle.nano}: {len(found.left_out)} of their attributes are "
        f"left out, which {version} does not have or means otherwise ({_by_owner(found.left_out)}), and "
        f"{len(found.absent)} of {version} are not made; their names: flashsim-prod bundle show {bundle.name}"
    )
    for name, what in found.otherwise.items():
        yield f"{name} of NanoAOD {version} will hold {what}"


def _by_owner(names: Iterable[str]) -> str:
    """How many branches of each collection or group."""
    numbers = Counter(name.partition("_")[0] for name in names)
    return ", ".join(f"{owner} {number}" for owner, number in sorted(numbers.items()))
