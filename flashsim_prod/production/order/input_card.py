"""What a request of existing events is of: name, energy and cross section by the input, not by a card.

Pure: the card that a request then has says of the process what the input says, so that names, pages and
catalogues tell the same.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from flashsim_prod.core.card import Energy, ProcessCard
from flashsim_prod.core.names import check_primary
from flashsim_prod.errors import InputError, RequestError

if TYPE_CHECKING:
    from flashsim_prod.physics.generator.kinds import InputFacts

#: in names of primary datasets: 13TeV, 13p6TeV
_ENERGY = re.compile(r"(?<![0-9])([0-9]{1,3})(?:p([0-9]+))?TeV", re.IGNORECASE)
_RUN_3_FROM_TEV = 13.5
_NAME_MOST = 40
#: energies are the same if they agree to this, of themselves
_SAME = 1e-3

#: what a card's settings say of top quarks and bosons in the hard process
_HINTS: dict[int, re.Pattern[str]] = {
    6: re.compile(r"^Top:|ttbar|^\d+:onIf\w+\s*=.*(?<!\d)6(?!\d)", re.IGNORECASE),
    25: re.compile(r"higgs|^25:|^\d+:onIf\w+\s*=.*(?<!\d)25(?!\d)", re.IGNORECASE),
}
_NAMES = {6: "top quarks", 22: "photons", 23: "Z bosons", 24: "W bosons", 25: "Higgs bosons"}
#: what processes of the standard model have, beside tops and Higgs bosons; others may have anything
_MAKES: tuple[tuple[re.Pattern[str], frozenset[int]], ...] = (
    (re.compile(r"^(HardQCD|SoftQCD|Charmonium|Bottomonium|Onia):", re.IGNORECASE), frozenset()),
    (re.compile(r"^PromptPhoton:", re.IGNORECASE), frozenset({22})),
    (re.compile(r"^Weak\w+:\w*gmZ\w*W", re.IGNORECASE), frozenset({23, 24})),
    (re.compile(r"^Weak\w+:\w*gmZ\w*gamma", re.IGNORECASE), frozenset({22, 23})),
    (re.compile(r"^Weak\w+:\w*gmZ", re.IGNORECASE), frozenset({23})),
    (re.compile(r"^Weak\w+:\w*2ZW", re.IGNORECASE), frozenset({23, 24})),
    (re.compile(r"^Weak\w+:\w*2W\w*gamma", re.IGNORECASE), frozenset({22, 24})),
    (re.compile(r"^Weak\w+:\w*2W", re.IGNORECASE), frozenset({24})),
    (re.compile(r"^Top:", re.IGNORECASE), frozenset({6, 24})),
    (re.compile(r"^HiggsSM:", re.IGNORECASE), frozenset({23, 24, 25})),
)
#: settings that choose a process
_PROCESS = re.compile(r"^(?!PhaseSpace:)[A-Z][\w*]*:(all|\w*2\w.*)\s*=?\s*on\b", re.IGNORECASE)


def card_of_input(
    card: ProcessCard | None,
    facts: InputFacts,
    *,
    primary: str | None,
    energy_tev: float | None,
    cross_section_pb: float | None,
) -> ProcessCard:
    """The card of a request that reads its events.

    Parameters
    ----------
    card : ProcessCard or None
        The one that was named, if one was.
    facts : InputFacts
        What the files tell by themselves.
    primary, energy_tev, cross_section_pb
        As typed; they go before what the files tell.

    Raises
    ------
    InputError
        If the card, or what was typed, contradicts the input.
    RequestError
        If nothing tells what the process is called, or its energy.
    """
    if card is not None:
        _check_process(card, facts)
    tev = _energy(card, facts, primary, energy_tev)
    entry = None if card is None else card.energy(tev)
    name = primary or facts.primary or (card.primary_name(tev) if card else facts.fallback)
    if name is None:
        raise RequestError(
            "nothing in the input tells which process it is of; say --primary NAME of its dataset, "
            "or a CARD that describes it"
        )
    is_the_cards = card is not None and name == card.primary_name(tev)
    known = entry.cross_section_pb if entry is not None and is_the_cards and facts.primary == name else None
    energy = Energy(
        tev=tev,
        pileup=entry.pileup if entry else ("Run3_2022" if tev >= _RUN_3_FROM_TEV else "Run2_2018"),
        cross_section_pb=cross_section_pb or facts.cross_section_pb or known,
    )
    checked_primary(name)
    if card is not None:
        # the events are those of the input, whatever would have made others
        return card.model_copy(update={"primary": name, "energies": (energy,), "gridpack": ""})
    return ProcessCard(
        name=_slug(name),
        title=f"events of {name}",
        # no generator runs; whoever ran one from this card all the same would get nothing
        settings=("ProcessLevel:all = off",),
        reference="existing events: the input says what they are",
        primary=name,
        energies=(energy,),
    )


def checked_primary(name: str) -> str:
    """`name` itself if it can be a primary dataset's; `RequestError` otherwise."""
    try:
        return check_primary(name)
    except ValueError as error:
        raise RequestError(f"--primary: {error}") from error


def _slug(name: str) -> str:
    """The name of a card, which also begins the names of requests."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")[:_NAME_MOST].strip("_") or "input"


def _energy(card: ProcessCard | None, facts: InputFacts, primary: str | None, typed: float | None) -> float:
    match = _ENERGY.search(primary or facts.primary or "")
    named = float(f"{match[1]}.{match[2] or 0}") if match else None
    told = facts.energy_tev if facts.energy_tev is not None else named
    if told is not None:
        if typed is not None and abs(typed - told) > _SAME * told:
            raise InputError(f"--energy {typed:g}: the input is of {told:g} TeV; leave --energy out")
        if card is not None and not any(abs(one.tev - told) <= _SAME * told for one in card.energies):
            offered = " and ".join(f"{energy.tev:g}" for energy in card.energies)
            raise InputError(
                f"--input: the events are of {told:g} TeV, card {card.name} ({card.title}) of {offered}; "
                "leave the card out, and say --primary NAME"
            )
        return told if typed is None else typed
    if card is not None:
        entry = card.energy(typed)
        if entry is None:
            offered = " and ".join(f"{energy.tev:g}" for energy in card.energies)
            raise RequestError(f"card {card.name} has no energy of {typed:g} TeV; it offers {offered}")
        return entry.tev
    if typed is None:
        raise RequestError("nothing in the input tells its centre-of-mass energy; say --energy TEV")
    return typed


def _check_process(card: ProcessCard, facts: InputFacts) -> None:
    """`InputError` if the hard process of the input cannot be the card's."""
    if facts.heavy is None:
        return
    told = {one for one, hint in _HINTS.items() if any(hint.search(setting) for setting in card.settings)}
    odd: int | None = next((one for one in (25, 6) if one in facts.heavy and one not in told), None)
    if odd is not None:
        raise InputError(
            f"--input: the events have {_NAMES[odd]} in their hard process, which card {card.name} "
            f"({card.title}) does not make; leave the card out, and say --primary NAME"
        )
    # tops may be left out of the record, but not what they decay to
    without = {6: {6, 24}, 25: {25}}
    odd = next((one for one in told if facts.heavy and not facts.heavy & without[one]), None)
    if odd is not None:
        found = " and ".join(_NAMES[one] for one in sorted(facts.heavy))
        raise InputError(
            f"--input: card {card.name} ({card.title}) makes {_NAMES[odd]}, but the events have {found} in "
            "their hard process; leave the card out, and say --primary NAME"
        )
    _check_bosons(card, facts.heavy, facts.is_whole)


def _check_bosons(card: ProcessCard, heavy: frozenset[int], is_whole: bool) -> None:
    """`InputError` if the events have bosons that the card does not make, or none where it makes some."""
    makes = _made_by(card)
    if makes is None or heavy & makes:
        return
    if (heavy and (is_whole or makes)) or (is_whole and makes):
        found = " and ".join(_NAMES[one] for one in sorted(heavy)) or "no bosons"
        made = " and ".join(_NAMES[one] for one in sorted(makes)) or "none of them"
        raise InputError(
            f"--input: the events have {found} in their hard process, but card {card.name} ({card.title}) "
            f"makes {made}; leave the card out, and say --primary NAME"
        )


def _made_by(card: ProcessCard) -> frozenset[int] | None:
    """PDG ids of what the hard processes of `card` have; ``None`` if one of them may have anything."""
    processes = [setting for setting in card.settings if _PROCESS.match(setting)]
    made = [next((ids for hint, ids in _MAKES if hint.match(one)), None) for one in processes]
    known = [ids for ids in made if ids is not None]
    return frozenset().union(*known) if known and len(known) == len(made) else None
