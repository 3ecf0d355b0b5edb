"""Samples that a validation makes for itself: generator events of a card, and their reconstructions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from flashsim_prod.core.card import ProcessCard
from flashsim_prod.errors import RequestError
from flashsim_prod.physics.events import WEIGHT, Events
from flashsim_prod.physics.folding import fold_events
from flashsim_prod.physics.nanoaod.reader import NanoFile
from flashsim_prod.physics.nanoaod.schema import Schema
from flashsim_prod.physics.training.sample import write_generator_sample
from flashsim_prod.physics.validation.dataset.samples import StageProgress

#: folded events in memory with all their branches
_CHUNK_EVENTS = 2000
_NUMBERS = ("genWeight", "FlashSim_genEvent", "FlashSim_fold", "FlashSim_oversample")


class Simulator(Protocol):
    """The chain, or the reference detector."""

    def simulate(self, folds: Events, *, seed: int) -> Events:
        """Reconstructed objects for generator-level events."""
        ...


def generator_events(
    card: ProcessCard, folder: Path, *, energy_tev: float, n_events: int, seed: int, progress: StageProgress
) -> Events:
    """Generator events of a card, kept in `folder` for the next time.

    Raises
    ------
    RequestError
        If the card does not have this energy.
    """
    if card.energy(energy_tev) is None:
        raise RequestError(f"card {card.name} has no energy of {energy_tev:g} TeV")
    path = folder / f"{card.name}_{energy_tev:g}TeV_{n_events}_{seed}.root"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        steps = write_generator_sample(card, path, energy_tev=energy_tev, n_events=n_events, seed=seed)
        for done in steps:
            progress(f"generating {card.name}", done, n_events)
    with NanoFile(str(path), Schema.default()) as file:
        return file.read(sorted(file.branches), 0, n_events)


def reconstructed(
    gen: Events,
    simulator: Simulator,
    keep: Sequence[str],
    *,
    folds: int,
    seed: int,
    progress: StageProgress,
    title: str,
) -> Events:
    """Every generator event `folds` times, with only the branches `keep` and the numbers of the folds."""
    size = max(1, _CHUNK_EVENTS // folds)
    parts = []
    for first in range(0, gen.n, size):
        progress(title, first, gen.n)
        folded = fold_events(
            gen.slice(first, first + size),
            oversample=folds,
            gen_first=first,
            run=1,
            first_event=1,
            first_lumi=1,
            gen_events_per_lumi=1000,
            job_gen_first=0,
        )
        # each chunk its own stream, for simulators that draw from one
        parts.append(only(simulator.simulate(folded, seed=seed + first), (*keep, *_NUMBERS, WEIGHT)))
    progress(title, gen.n, gen.n)
    return Events.concatenate(parts)


def only(events: Events, names: Sequence[str]) -> Events:
    """The branches `names` of `events`, as far as there are such."""
    columns: dict[str, list[str]] = {}
    for name in sorted(set(names)):
        collection, attribute = events.place(name)
        if collection in events.collections and attribute in events[collection]:
            columns.setdefault(collection, []).append(attribute)
    return Events(
        events.n,
        {name: events.scalars[name] for name in sorted(set(names)) if name in events.scalars},
        {name: events[name].only(attributes) for name, attributes in columns.items()},
    )
