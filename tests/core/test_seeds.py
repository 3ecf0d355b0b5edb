"""Seeds depend on the request's seed and the job's index, and on nothing else."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from flashsim_prod.core.splitting import PYTHIA_SEED_MAX, generator_seed, job_seed, pileup_seed

request_seeds = st.integers(0, 2**63 - 1)
indices = st.integers(0, 10**7)


@given(seed=request_seeds, index=indices)
def test_seeds_are_in_range_and_repeatable(seed: int, index: int) -> None:
    assert 1 <= generator_seed(seed, index) <= PYTHIA_SEED_MAX
    assert 0 <= job_seed(seed, index) < 2**64
    assert 0 <= pileup_seed(seed, index) < 2**64
    assert (job_seed(seed, index), generator_seed(seed, index)) == (
        job_seed(seed, index),
        generator_seed(seed, index),
    )


@given(seed=request_seeds, first=indices, second=indices)
def test_jobs_and_requests_draw_from_different_streams(seed: int, first: int, second: int) -> None:
    if first != second:
        assert job_seed(seed, first) != job_seed(seed, second)
        assert pileup_seed(seed, first) != pileup_seed(seed, second)
    assert job_seed(seed, first) != pileup_seed(seed, first)
    assert job_seed(seed, first) != job_seed(seed ^ 1, first)


def test_the_seeds_of_a_request_never_change() -> None:
    """A dataset's recipe must outlive the software that wrote it."""
    assert (job_seed(1234, 0), job_seed(1234, 17)) == (4985326416798289662, 13688469494261669692)
    assert (generator_seed(1234, 0), generator_seed(1234, 17)) == (822872487, 822872504)
    assert pileup_seed(1234, 0) == 6563871652060421087


@given(seed=request_seeds, first=indices, second=indices)
def test_no_two_jobs_of_a_request_share_a_generator_seed(seed: int, first: int, second: int) -> None:
    """Two jobs with one seed would hold the same gen events."""
    assert (generator_seed(seed, first) == generator_seed(seed, second)) == (first == second)
