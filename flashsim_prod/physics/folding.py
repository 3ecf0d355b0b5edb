"""Oversampling: each generator event becomes several output events, its *folds*."""

from __future__ import annotations

import numpy as np

from flashsim_prod.physics.events import Events


def fold_events(
    gen: Events,
    *,
    oversample: int,
    gen_first: int,
    run: int,
    first_event: int,
    first_lumi: int,
    gen_events_per_lumi: int,
    job_gen_first: int,
    folds: range | None = None,
) -> Events:
    """Every gen event `oversample` times, adjacent, numbered and with its bookkeeping.

    Parameters
    ----------
    gen : Events
        A run of consecutive gen events of a job; or any of its events, which then have FlashSim_genEvent.
    oversample : int
        Folds of each gen event.
    gen_first : int
        Number in the dataset, from 0, of the first event of `gen`, unless they say so themselves.
    run : int
        Run number of all output events.
    first_event, first_lumi : int
        Event number and luminosity section of the job's first output event.
    gen_events_per_lumi : int
        Gen events whose folds share a luminosity section.
    job_gen_first : int
        Number in the dataset, from 0, of the job's first gen event.
    folds : range, optional
        Only these folds of each gen event, so that huge factors can be worked on piece by piece.

    Returns
    -------
    Events
        ``gen.n * len(folds)`` events with the branches of `gen` and run, luminosityBlock, event,
        FlashSim_genEvent (from 0, unique in the dataset), FlashSim_fold and FlashSim_oversample.
    """
    chosen = range(oversample) if folds is None else folds
    consecutive = np.arange(gen_first, gen_first + gen.n, dtype=np.uint64)
    gen_event = np.repeat(gen.scalars.get("FlashSim_genEvent", consecutive), len(chosen))
    fold = np.tile(np.arange(chosen.start, chosen.stop, dtype=np.int32), gen.n)
    in_job = (gen_event - np.uint64(job_gen_first)).astype(np.int64)
    return gen.repeat(len(chosen)).with_scalars(
        {
            "run": np.full(len(fold), run, dtype=np.uint32),
            "luminosityBlock": (first_lumi + in_job // gen_events_per_lumi).astype(np.uint32),
            "event": (first_event + in_job * oversample + fold).astype(np.uint64),
            "FlashSim_genEvent": gen_event,
            "FlashSim_fold": fold,
            "FlashSim_oversample": np.full(len(fold), oversample, dtype=np.int32),
        }
    )
