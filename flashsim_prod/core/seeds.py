"""Seeds: one per job, a function of the request's seed and the job's index alone.

Never of the attempt, the machine or the time, so a retry draws the same numbers.
"""

from __future__ import annotations

#: Pythia8 takes seeds from 1 to this one
PYTHIA_SEED_MAX = 900_000_000


def _word(request_seed: int, *spawn_key: int) -> int:
    # numpy takes longer to import than a status report may take as a whole
    import numpy as np

    sequence = np.random.SeedSequence(entropy=request_seed, spawn_key=spawn_key)
    return int(sequence.generate_state(1, np.uint64)[0])


def job_seed(request_seed: int, job_index: int) -> int:
    """The 64-bit seed of a job's chain of object models.

    Independent streams for different indices follow from numpy's `SeedSequence` with the index as
    spawn key.
    """
    return _word(request_seed, job_index)


def generator_seed(request_seed: int, job_index: int) -> int:
    """The seed of a job's event generator, in Pythia8's range 1 to 900,000,000.

    Consecutive for the jobs of a request, from a start that the request's seed decides: that range is
    so small that among 10,000 jobs with drawn seeds two would share one, and so all of their events,
    in 5 % of requests. Pythia's generator (Marsaglia and Zaman's) gives each seed its own sequence.
    """
    return (_word(request_seed) + job_index) % PYTHIA_SEED_MAX + 1


def pileup_seed(request_seed: int, job_index: int) -> int:
    """The 64-bit seed of a job's draw of pileup conditions."""
    return _word(request_seed, job_index, 2)
