"""An extension's jobs go on where those of the request end: nothing twice, nothing left out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashsim_prod.core.campaigns.extension import Extension
from flashsim_prod.core.names import DatasetName
from flashsim_prod.core.request import Request
from flashsim_prod.core.splitting import SimulateJob, lumi_events, merge_job, simulate_job
from flashsim_prod.errors import ConfigError, RequestError

MakeRequest = Callable[..., Request]


def _extended(first: Request, before: Request, made: Request, number: int) -> Request:
    """`made` as extension `number` of `first`, behind `before`."""
    extends = Extension(
        request=first.name,
        dataset=str(first.dataset),
        digest=first.digest(),
        number=number,
        jobs=before.before.jobs + before.n_simulate,
        gen_events=before.before.gen_events + before.gen_events,
        lumis=before.before.lumis + before.n_lumis,
    )
    return made.model_copy(update={"extends": extends, "dataset": extends.dataset_name()})


def _jobs(requests: Sequence[Request]) -> list[SimulateJob]:
    return [simulate_job(one, index) for one in requests for index in range(one.n_simulate)]


_SIZES = st.lists(
    st.tuples(st.integers(1, 60), st.integers(1, 20), st.integers(1, 9)), min_size=2, max_size=4
)


@given(sizes=_SIZES, oversample=st.integers(1, 7), seed=st.integers(0, 2**63 - 1))
def test_together_they_are_numbered_as_one(
    make_request: MakeRequest, sizes: list[tuple[int, int, int]], oversample: int, seed: int
) -> None:
    requests: list[Request] = []
    for number, (gen_events, per_job, per_lumi) in enumerate(sizes):
        made = make_request(
            gen_events=gen_events, per_job=per_job, per_lumi=per_lumi, oversample=oversample, seed=seed
        )
        requests.append(_extended(requests[0], requests[-1], made, number) if requests else made)
    jobs = _jobs(requests)
    for one, then in pairwise(jobs):
        assert then.gen_first == one.gen_first + one.gen_events
        assert then.first_event == one.first_event + one.events
        assert then.first_lumi >= one.first_lumi + one.n_lumis
    assert jobs[-1].gen_first + jobs[-1].gen_events == sum(size[0] for size in sizes)
    for seeds in ("seed", "generator_seed", "pileup_seed"):
        assert len({getattr(job, seeds) for job in jobs}) == len(jobs), seeds
    assert len({job.lfn for job in jobs}) == len(jobs)
    assert len({merge_job(one, 0).guid for one in requests}) == len(requests)
    for request in requests:
        own = [simulate_job(request, index) for index in range(request.n_simulate)]
        lumis = [lumi for job in own for lumi in range(job.first_lumi, job.first_lumi + job.n_lumis)]
        assert sum(lumi_events(request, lumi) for lumi in lumis) == request.events
        with pytest.raises(RequestError):
            lumi_events(request, request.before.lumis)


def test_full_jobs_are_those_of_one_request_of_all(make_request: MakeRequest) -> None:
    first = make_request(gen_events=60, per_job=30)
    later = _extended(first, first, make_request(gen_events=40, per_job=30), 1)
    whole = make_request(gen_events=100, per_job=30)
    told = ("gen_first", "gen_events", "first_event", "first_lumi", "seed", "generator_seed", "pileup_seed")
    parts, all_of_it = (
        [[getattr(job, name) for name in told] for job in _jobs(x)] for x in ([first, later], [whole])
    )
    assert parts == all_of_it


def test_what_it_extends_is_written_and_part_of_its_digest(make_request: MakeRequest) -> None:
    first = make_request()
    assert "extends" not in first.to_yaml()
    later = _extended(first, first, make_request(), 1)
    assert Request.from_yaml(later.to_yaml(), "request.yaml") == later
    assert later.digest() != make_request().digest()
    assert str(later.dataset) == "/Toy_13TeV/FlashSim-RefDet_x10_ext1-v1/NANOAODSIM"
    wrong = later.to_yaml().replace("  jobs: 4", "  jobs: 0")
    with pytest.raises(ConfigError, match=r"extends\.jobs: must be greater than or equal to 1"):
        Request.from_yaml(wrong, "request.yaml")


def test_datasets_of_users_are_extended_under_names_of_their_own() -> None:
    first = DatasetName(primary="Toy", era="me", string="FlashSim_RefDet", version=2, tier="USER")
    later = first.extended(1, 2)
    assert DatasetName.parse(str(later)) == later != first
    assert str(later).split("/")[2].startswith("me-FlashSim_RefDet_ext1-")
