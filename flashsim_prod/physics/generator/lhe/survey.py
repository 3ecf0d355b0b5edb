"""What has to be known of LHE files before any event is showered: their heads, and which weights all have."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

from flashsim_prod.errors import InputError
from flashsim_prod.physics.generator.lhe.event import HardEvent, parse_event, undeclared_weights
from flashsim_prod.physics.generator.lhe.file import Head, check_usable, event_texts, read_head
from flashsim_prod.physics.generator.lhe.weights import Declared, branch_titles, sorted_into_branches
from flashsim_prod.physics.generator.source import refuse_twins


@dataclass(frozen=True)
class Survey:
    """A file that can be used.

    Attributes
    ----------
    head : Head
    weights : tuple of Declared
        Of each event: those that the head declares, then those that the first event has beyond them.
    first : str
        A digest of the particles of its first event, however it is written.
    """

    head: Head
    weights: tuple[Declared, ...]
    first: str = field(repr=False)

    @cached_property
    def branches(self) -> dict[str, tuple[Declared, ...]]:
        """The weights of each branch."""
        return sorted_into_branches(self.weights)

    @property
    def titles(self) -> dict[str, str]:
        """The documentation of these branches."""
        return branch_titles(self.branches)


def survey(url: str) -> Survey:
    """Read the head and the first event of a file; `InputError` in one line for what cannot be used."""
    head = read_head(url)
    check_usable(head, url)
    text = next(event_texts(url, 0, 1))
    weights = (*head.weights, *undeclared_weights(text, head.weights))
    return Survey(head, weights, _digest(parse_event(text, weights, f"{url}: event 0")))


def _digest(event: HardEvent) -> str:
    rows = [f"{one.id} {one.status} {one.px:.6g} {one.py:.6g} {one.pz:.6g}" for one in event.particles]
    return hashlib.sha256("\n".join(rows).encode()).hexdigest()


def survey_alike(urls: Iterable[str]) -> list[Survey]:
    """What each file is; `InputError` if one is not like the first, or is a copy of another."""
    found: list[Survey] = []
    names: list[str] = []
    for url in urls:
        names.append(url)
        found.append(survey(url))
        first, last = found[0], found[-1]
        if last.head.energy_tev != first.head.energy_tev:
            raise InputError(
                f"{url} is of {last.head.energy_tev:g} TeV, {names[0]} of {first.head.energy_tev:g} TeV; "
                "give files of one energy"
            )
        if last.head.merging != first.head.merging:
            raise InputError(f"{url} is not of the merging of {names[0]}; give files of one generation")
        if last.weights != first.weights:
            raise InputError(f"{url} has not the same weights as {names[0]}; give files of one generation")
    refuse_twins(zip(names, (one.first for one in found), strict=True))
    return found
