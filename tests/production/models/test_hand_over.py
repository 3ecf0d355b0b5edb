"""What is handed to a site while it is at work in the same folder: told as it is, or refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from flashsim_prod.core.site import Site
from flashsim_prod.errors import JobsFailedError, RequestError
from flashsim_prod.grid.batch.base import Training
from flashsim_prod.production.models import at_site, training
from flashsim_prod.production.models.drawing import Portion
from flashsim_prod.production.models.training import hand_over, said_by_drawing
from flashsim_prod.production.order.library import find_site


class Batch:
    """Is at work on the first that it is given, till it is told that this has ended."""

    def __init__(self) -> None:
        self.number, self.at_work = 0, False

    def check_software(self) -> None:
        pass

    def train(self, _: Training) -> tuple[int, bool]:
        is_new = not self.at_work
        self.number += is_new
        self.at_work = True
        return self.number, is_new

    def is_training(self, _: Path) -> bool:
        return self.at_work


@pytest.fixture
def batch(monkeypatch: pytest.MonkeyPatch) -> Batch:
    made = Batch()
    monkeypatch.setattr(training, "_batch", lambda _: made)
    return made


@pytest.fixture
def site() -> Site:
    return find_site("htcondor")


def words(*names: str) -> tuple[tuple[str, ...], ...]:
    return tuple(("extract", f"http://host/{name}.root", "--work", "w") for name in names)


def test_what_is_at_work_is_that_or_it_is_refused(batch: Batch, site: Site, tmp_path: Path) -> None:
    first = Training(tmp_path, ("met", "muon"), (), tmp_path / "bundle", words("a", "b"))
    assert hand_over(site, first) == (1, True)
    assert hand_over(site, first) == (1, False)
    # what of it is done already
    assert hand_over(site, replace(first, models=("met",), drawings=(), options=("--quick",))) == (1, False)
    for more, told in (
        ({"drawings": words("a", "c", "d")}, r"tables of http://host/c\.root and 1 more"),
        ({"models": ("tau",)}, "a fit of tau"),
        ({"output": tmp_path / "other"}, "a bundle .*/other"),
    ):
        with pytest.raises(RequestError, match=rf"at work in .* \(1\), but not on {told}; wait for its end"):
            hand_over(site, replace(first, **more))
    # neither the refusal nor what came before counts for what comes next
    batch.at_work = False
    second = replace(first, drawings=words("c"))
    assert hand_over(site, second) == (2, True)
    assert hand_over(site, second) == (2, False)
    with pytest.raises(RequestError, match=r"not on tables of http://host/a\.root and 1 more; wait"):
        hand_over(site, first)


def test_what_was_handed_over_before_anybody_noted_it_is_at_work(
    batch: Batch, site: Site, tmp_path: Path
) -> None:
    first = Training(tmp_path, ("met",), (), None)
    hand_over(site, first)
    noted = tmp_path / "batch" / "handed_over.json"
    noted.write_text(noted.read_text().replace('"batch_id": 1', '"batch_id": 5'))
    assert hand_over(site, replace(first, models=("tau",))) == (1, False)
    noted.write_text("{")
    assert hand_over(site, replace(first, models=("tau",))) == (1, False)


def test_files_without_tables_are_told_with_the_words_of_their_jobs(
    batch: Batch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Batch, "is_training", lambda *_: False)
    portions = [Portion(f"http://host/{name}.root") for name in "abc"]
    drawn: set[str] = set()
    monkeypatch.setattr(at_site, "is_drawn", lambda one, _: one.url in drawn)

    def draw() -> at_site.DrawnAt:
        nothing = lambda *_: None  # noqa: E731
        return at_site.draw_at("htcondor", portions, tmp_path, progress=nothing, wait=True, say=nothing)

    # as if one were drawn while they are followed
    monkeypatch.setattr(training, "_note", lambda *told: (noting(*told), drawn.add(portions[0].url)))
    with pytest.raises(
        JobsFailedError,
        match=r"not all tables were drawn; see .*/batch/draw2\.err of http://host/b\.root and of 1 more",
    ):
        draw()
    assert said_by_drawing(tmp_path, 7, ("extract",)).name == "draw*.err"
    drawn |= {one.url for one in portions}
    assert draw().is_done


noting = training._note
