"""Generator events of several processes, folded, for what a chain asks its models."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from flashsim_prod.core.card import ProcessCard
from flashsim_prod.core.splitting import generator_seed, job_seed, pileup_seed
from flashsim_prod.physics.events import Events
from flashsim_prod.physics.folding import fold_events
from flashsim_prod.physics.generator.pythia import PythiaSource

_CHUNK_EVENTS = 250


def folds_of(cards: Sequence[tuple[ProcessCard, int]], oversample: int, seed: int) -> Iterator[Events]:
    """So many generator events of each card at its first energy, each several times, in pieces."""
    first = 0
    for number, (card, n_events) in enumerate(cards):
        own = job_seed(seed, number)
        source = PythiaSource(
            card,
            card.energies[0].tev,
            n_events=n_events,
            seed=generator_seed(own, 0),
            pileup_seed=pileup_seed(own, 0),
        )
        for gen in source.chunks(_CHUNK_EVENTS):
            yield fold_events(
                gen,
                oversample=oversample,
                gen_first=first,
                run=1,
                first_event=1 + first * oversample,
                first_lumi=1,
                gen_events_per_lumi=1000,
                job_gen_first=0,
            )
            first += gen.n
