"""Every disagreement between catalogue, ledger and storage is found and named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flashsim_prod.errors import CatalogError, RequestError
from flashsim_prod.grid.catalog.base import CatalogFile
from flashsim_prod.grid.catalog.local import LocalCatalog
from flashsim_prod.production.dataset.verify import verify
from flashsim_prod.production.drive.foreground import drive
from flashsim_prod.production.home import Home
from flashsim_prod.production.order.plan import Plan


@pytest.fixture
def made(home: Home, placed: Callable[..., Plan], fake_physics: Any) -> tuple[str, list[Path]]:
    """A finished dataset and its files."""
    plan = placed(events=80, events_per_job=20, per_merge=2)
    outcome = drive(home, plan.request.name)
    return str(plan.request.dataset), [Path(file.pfn) for file in outcome.files]


def _problems(home: Home, dataset: str) -> list[tuple[str, str]]:
    return [(problem.kind, problem.lfn.rsplit("/", 1)[-1]) for problem in verify(home, dataset).problems]


def test_all_agree(home: Home, made: tuple[str, list[Path]]) -> None:
    dataset, files = made
    seen: list[int] = []
    found = verify(home, dataset, seen=lambda _, size: seen.append(size))
    assert (found.files, found.problems) == (2, ())
    assert sum(seen) == found.bytes == sum(file.stat().st_size for file in files)


def test_a_flipped_bit(home: Home, made: tuple[str, list[Path]]) -> None:
    dataset, files = made
    contents = bytearray(files[0].read_bytes())
    contents[10] ^= 1
    files[0].write_bytes(contents)
    assert _problems(home, dataset) == [("checksum", files[0].name)]


def test_a_short_a_missing_and_an_extra_file(home: Home, made: tuple[str, list[Path]]) -> None:
    dataset, files = made
    files[0].write_bytes(files[0].read_bytes()[:-1])
    files[1].unlink()
    (files[0].parent / "stray.root").touch()
    assert sorted(_problems(home, dataset)) == sorted(
        [("size", files[0].name), ("missing", files[1].name), ("extra", "stray.root")]
    )


def test_a_replica_that_the_catalogue_hands_to_nobody(
    home: Home, made: tuple[str, list[Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset, files = made
    listed = LocalCatalog.files

    def withheld(self: LocalCatalog, lfn: str, rse: str) -> str | None:
        return "BAD" if lfn.endswith(files[0].name) and rse == "LOCAL" else None

    monkeypatch.setattr(
        LocalCatalog, "files", lambda *about: (replace(one, replicas=()) for one in listed(*about))
    )
    monkeypatch.setattr(LocalCatalog, "withheld", withheld)
    assert sorted(problem.detail for problem in verify(home, dataset).problems) == [
        "the catalogue calls its replica at LOCAL BAD",
        "the catalogue has no replica of it at LOCAL",
    ]


def test_a_file_that_only_the_catalogue_knows(home: Home, made: tuple[str, list[Path]]) -> None:
    dataset, _ = made
    with LocalCatalog(home.catalog) as catalog:
        block = f"{dataset}#another"
        catalog.ensure_block(dataset, block)
        strange = CatalogFile("/store/mc/strange.root", "/strange.root", 5, 5, "0" * 8, "0" * 64)
        catalog.declare(block, [strange], "LOCAL")
    assert [kind for kind, _ in _problems(home, dataset)] == ["ledger", "events", "missing"]


def test_datasets_that_are_none(home: Home, made: tuple[str, list[Path]]) -> None:
    with pytest.raises(RequestError, match="is no dataset name"):
        verify(home, "toy")
    with pytest.raises(CatalogError, match="did you mean"):
        verify(home, made[0].replace("-v1", "-v2"))
