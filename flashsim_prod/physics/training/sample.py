"""Training samples: NANOAOD from the reference detector, where no FullSim is to be had."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from flashsim_prod import __version__
from flashsim_prod.core.card import ProcessCard
from flashsim_prod.core.seeds import generator_seed, job_seed, pileup_seed
from flashsim_prod.physics.detector.reference import ReferenceDetector
from flashsim_prod.physics.folding import fold_events
from flashsim_prod.physics.generator.pythia import PythiaSource
from flashsim_prod.physics.nanoaod.writer import NanoWriter

_CHUNK_EVENTS = 500
_EVENTS_PER_LUMI = 1000


def write_reference_sample(
    card: ProcessCard, path: Path, *, energy_tev: float, n_gen: int, folds: int, seed: int
) -> Iterator[int]:
    """Generate `n_gen` events and reconstruct each `folds` times with the reference detector.

    Several detector folds of the same generator event are cheap statistics for training.

    Parameters
    ----------
    card : ProcessCard
    path : Path
        NANOAOD file to write; it appears when it is complete.
    energy_tev : float
    n_gen, folds : int
        Generator events, and reconstructions of each.
    seed : int

    Yields
    ------
    int
        Generator events done.
    """
    source = PythiaSource(
        card, energy_tev, n_events=n_gen, seed=generator_seed(seed, 0), pileup_seed=pileup_seed(seed, 0)
    )
    detector = ReferenceDetector()
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    provenance = {
        "software": f"flashsim-prod {__version__}, reference detector (a parametric stand-in, not FullSim)",
        "card": card.name,
        "seed": str(seed),
    }
    done = 0
    try:
        with NanoWriter(temporary, provenance=provenance) as writer:
            for gen in source.chunks(_CHUNK_EVENTS):
                numbered = fold_events(
                    gen,
                    oversample=folds,
                    gen_first=done,
                    run=1,
                    first_event=1,
                    first_lumi=1,
                    gen_events_per_lumi=max(1, _EVENTS_PER_LUMI // folds),
                    job_gen_first=0,
                )
                # each chunk its own stream of numbers
                writer.write(detector.simulate(numbered, seed=job_seed(seed, done + 1)))
                done += gen.n
                yield done
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
