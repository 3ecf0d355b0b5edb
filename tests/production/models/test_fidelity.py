"""A fidelity report: each of two bundles is drawn as it would be of requests."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from flashsim_prod.core.request import Sampling
from flashsim_prod.physics.chain.bundle import find_bundle, load_bundle
from flashsim_prod.physics.chain.distilled import students
from flashsim_prod.physics.validation.models import report
from flashsim_prod.production.models import fidelity
from flashsim_prod.production.models.fidelity import FidelityOptions, report_fidelity
from tests.students import bundle_with


@dataclass(frozen=True)
class _Made:
    beside: None = None
    notes: tuple[str, ...] = ()


class _Seen(Exception):
    """All that is to be seen."""


@pytest.mark.parametrize(
    ("evaluations", "draws", "before_draws"),
    [(None, Sampling(), Sampling()), (4, Sampling(evaluations=4), Sampling()), (2, None, None)],
)
def test_the_bundle_of_before_draws_in_its_own_steps(
    evaluations: int | None,
    draws: Sampling | None,
    before_draws: Sampling | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plain = load_bundle(find_bundle("reference")).of_teachers
    few = bundle_with(plain, {"met": 4}, tmp_path / "few")
    monkeypatch.setattr(fidelity, "open_bundle", {"plain": plain, "few": few}.get)
    monkeypatch.setattr(report, "make_fidelity_report", lambda *_: _Made())
    seen: list[Any] = []

    def beside(
        bundle: object, before: object, files: object, asked: report.Options, progress: object
    ) -> None:
        seen.extend((asked.sampling, before))
        raise _Seen

    monkeypatch.setattr(fidelity, "_beside", beside)
    wanted = None if evaluations is None else Sampling(evaluations=evaluations)
    options = FidelityOptions(is_fullsim=True, before="few", sampling=wanted)
    with pytest.raises(_Seen):
        report_fidelity("plain", ["a.root"], tmp_path, options, work=tmp_path, progress=lambda *_: None)
    sampling, (before, its) = seen
    # with two evaluations its teachers draw, which the sampling says
    assert sampling == (draws or Sampling(evaluations=2))
    assert its == (before_draws or Sampling(evaluations=2, teachers=True))
    assert bool(students(before.manifest.models)) == (evaluations != 2)
