"""What a catalogue is told of a dataset's making."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import ModuleType

import pytest

from flashsim_prod.core.states import Stage
from flashsim_prod.grid.catalog.base import merged_metadata
from flashsim_prod.production.context import opened_request
from flashsim_prod.production.dataset.register import metadata
from flashsim_prod.production.drive.foreground import drive
from flashsim_prod.production.home import Home
from flashsim_prod.production.order.plan import Plan


def test_an_energy_says_of_how_many_jobs_it_is(
    home: Home, placed: Callable[..., Plan], fake_physics: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = placed(events=80, events_per_job=20, per_merge=2).request.name
    drive(home, name)
    with opened_request(home, home.folder(name)) as context:
        assert not [key for key in metadata(context) if key.startswith("energy_") and key != "energy_tev"]
        stages = context.ledger.totals(name)
        known = replace(stages[Stage.SIMULATE], energy_j=5.5, measured_jobs=1)
        monkeypatch.setattr(context.ledger, "totals", lambda name: {**stages, Stage.SIMULATE: known})
        found = metadata(context)
    assert (found["energy_j"], found["energy_measured_jobs"], found["energy_all_jobs"]) == (5.5, 1, 6)


def test_an_energy_that_stays_keeps_its_own_number_of_jobs() -> None:
    told = {"seed": 1, "energy_j": 7.0, "energy_measured_jobs": 3, "energy_all_jobs": 6}
    assert merged_metadata("/a/b/c", {"energy_j": 5.5}, told) == {"energy_j": 5.5, "seed": 1}
    assert merged_metadata("/a/b/c", {"seed": 1}, told) == told
