"""A request of any shape, for tests of what is computed from it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from flashsim_prod.core.card import Energy, ProcessCard
from flashsim_prod.core.choices import Device
from flashsim_prod.core.names import DatasetName
from flashsim_prod.core.request import BundleRef, Request, Split
from flashsim_prod.core.site import Rates, Resources, Site, StorageRules


def _request(
    *,
    gen_events: int = 100,
    oversample: int = 10,
    per_job: int = 30,
    per_lumi: int = 10,
    per_merge: int = 2,
    per_block: int = 2,
    seed: int = 1234,
) -> Request:
    return Request(
        name="toy-001",
        dataset=DatasetName(primary="Toy_13TeV", era="FlashSim", string="RefDet_x10", version=1),
        card=ProcessCard(
            name="toy",
            title="a toy",
            primary="Toy_{energy}",
            energies=(Energy(tev=13, pileup="flat"),),
            settings=("Top:all = on",),
        ),
        energy_tev=13,
        gen_events=gen_events,
        oversample=oversample,
        seed=seed,
        bundle=BundleRef(path="reference", digest="0" * 64),
        device=Device.CPU,
        split=Split(
            gen_events_per_job=per_job,
            gen_events_per_lumi=per_lumi,
            jobs_per_merge=per_merge,
            files_per_block=per_block,
        ),
        site=Site(
            name="here",
            title="here",
            engine="local",
            resources=Resources(walltime_min=60, target_walltime_min=20),
            rates=Rates(generator_hz=50, flashsim_hz=200),
            storage=StorageRules(rse="LOCAL", prefix="{home}/store"),
        ),
        catalog="local",
        software_version="0.1.0",
        created=datetime(2025, 1, 1, tzinfo=UTC),
    )


@pytest.fixture(scope="session")
def make_request() -> Callable[..., Request]:
    """A function that makes a request from the counts that matter to a test."""
    return _request
