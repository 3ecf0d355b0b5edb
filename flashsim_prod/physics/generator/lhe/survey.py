"""What has to be known of LHE files before any event is showered: their heads, and which weights all have."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from flashsim_prod.errors import InputError
from flashsim_prod.physics.generator.lhe.event import parse_event, undeclared_weights
from flashsim_prod.physics.generator.lhe.file import Head, check_usable, event_texts, read_head
from flashsim_prod.physics.generator.lhe.weights import Declared, branch_titles, sorted_into_branches


@dataclass(frozen=True)
class Survey:
    """A file that can be used.

    Attributes
    ----------
    head : Head
    weights : tuple of Declared
        Of each event: those that the head declares, then those that the first event has beyond them.
    """

    head: Head
    weights: tuple[Declared, ...]

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
    parse_event(text, weights, f"{url}: event 0")
    return Survey(head, weights)


def survey_alike(urls: Iterable[str]) -> list[Survey]:
    """What each file is; `InputError` if one has other weights, or another energy, than the first one."""
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
    return found
