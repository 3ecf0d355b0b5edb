"""What can go is found and removed; what a catalogue names, and what lies elsewhere, never is."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flashsim_prod.core.splitting import merge_job, simulate_job
from flashsim_prod.errors import ConfigError, NoSpaceError, RequestError, StorageError
from flashsim_prod.grid.catalog.base import CatalogFile
from flashsim_prod.grid.catalog.local import LocalCatalog
from flashsim_prod.grid.locks import request_lock
from flashsim_prod.grid.storage.atomic import temporary_beside
from flashsim_prod.production.drive.foreground import drive
from flashsim_prod.production.home import Home
from flashsim_prod.production.order.folder import load_request
from flashsim_prod.production.order.plan import Plan
from flashsim_prod.production.quota import quota_of, set_quota
from flashsim_prod.production.retention.leftovers import find_leftovers
from flashsim_prod.production.retention.purge import purge
from flashsim_prod.production.retention.sizes import sizes

DATASET = "/Toy/FlashSim2018-RefDet_x1-v1/NANOAODSIM"


def _aged(path: Path, text: str = "x", *, days: float = 2) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    then = time.time() - days * 86400
    os.utime(path, (then, then))
    return path


def _kinds(home: Home, *names: str) -> dict[str, str]:
    return {str(one.path.name): one.kind for one in find_leftovers(home, names).found}


@pytest.fixture
def made(home: Home, placed: Callable[..., Plan], fake_physics: Any) -> Any:
    """A finished request of two files; the request."""
    plan = placed(events=40, events_per_job=20, per_merge=1)
    drive(home, plan.request.name)
    return plan.request


def _unmerged(home: Home, request: Any, index: int) -> Path:
    return home.path / simulate_job(request, index).lfn.lstrip("/")


def test_nothing_is_found_after_a_run(home: Home, made: Any) -> None:
    assert {one.kind for one in find_leftovers(home).found} <= {"empty folder"}
    purge(home)
    assert find_leftovers(home).found == ()
    assert all((home.path / merge_job(made, index).lfn.lstrip("/")).is_file() for index in (0, 1))


def test_unmerged_outputs_go_when_their_file_is_there(home: Home, made: Any) -> None:
    first, second = (_aged(_unmerged(home, made, index)) for index in (0, 1))
    merged = home.path / merge_job(made, 1).lfn.lstrip("/")
    # the second one's file is lost: then its input is all that there is
    kept = merged.rename(home.path / "kept")
    assert _kinds(home)[first.name] == "unmerged"
    assert second.name not in _kinds(home)
    kept.rename(merged)
    done = purge(home)
    assert not first.exists()
    assert not second.exists()
    assert done.bytes == 2
    assert merged.is_file()


def test_outputs_of_unfinished_requests_stay(home: Home, placed: Callable[..., Plan]) -> None:
    plan = placed(events=40, events_per_job=20)
    path = _aged(_unmerged(home, plan.request, 0))
    assert purge(home).removed == ()
    assert path.is_file()


def test_a_dry_run_removes_nothing(home: Home, made: Any) -> None:
    path = _aged(_unmerged(home, made, 0))
    find_leftovers(home)
    assert path.is_file()


def test_what_is_of_no_request_any_more(home: Home, made: Any) -> None:
    gone = _aged(home.path / "store/unmerged/E/P/T/s-v1/gone-001/000000/simulate_000000.root")
    new = _aged(home.path / "store/unmerged/E/P/T/s-v1/gone-002/000000/simulate_000000.root", days=0)
    other = _aged(home.path / "store/unmerged/E/P/T/s-v1/gone-001/000000/notes.txt")
    assert _kinds(home)[gone.name] == "orphan"
    purge(home)
    assert (gone.exists(), new.exists(), other.exists()) == (False, True, True)


def test_half_copies_of_dead_writers_only(home: Home, made: Any) -> None:
    target = home.path / merge_job(made, 0).lfn.lstrip("/")
    with temporary_beside(target) as alive:
        then = time.time() - 10 * 86400
        os.utime(alive.path, (then, then))
        dead = _aged(alive.path.with_name(f".x.root.{_host(alive.path)}.{'0' * 32}.part"), days=1)
        torn = _aged(home.folder(made.name).reports / ".merge_000000.json.0123456789ab")
        young = _aged(home.folder(made.name).reports / ".merge_000001.json.0123456789ab", days=0)
        found = _kinds(home)
        assert (found[dead.name], found[torn.name]) == ("half copy", "half copy")
        assert young.name not in found
        purge(home)
        assert (alive.path.exists(), dead.exists(), torn.exists(), young.exists()) == (
            True,
            False,
            False,
            True,
        )


def _host(path: Path) -> str:
    return path.name.split(".")[-3]


def test_a_request_at_work_is_left_out(home: Home, made: Any) -> None:
    path = _aged(_unmerged(home, made, 0))
    with request_lock(home.folder(made.name).path):
        assert find_leftovers(home).at_work == (made.name,)
        assert purge(home).at_work == (made.name,)
    assert path.is_file()
    purge(home, [made.name])
    assert not path.exists()


def test_what_was_registered_meanwhile_stays(home: Home, made: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the look and the removal somebody registers a file that looked like a leftover."""
    from flashsim_prod.production.retention import purge as purging

    path = _aged(_unmerged(home, made, 0))
    found = find_leftovers(home)
    _register(home, [path])
    monkeypatch.setattr(purging, "find_leftovers", lambda *_: found)
    done = purge(home)
    assert [one.path for one in done.kept] == [path]
    assert path.is_file()


def test_no_link_is_followed_out(home: Home, made: Any, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    folder = _unmerged(home, made, 0).parent
    precious = _aged(outside / "000000" / "simulate_000000.root")
    shutil.rmtree(folder.parent, ignore_errors=True)
    folder.parent.parent.mkdir(parents=True, exist_ok=True)
    folder.parent.symlink_to(outside, target_is_directory=True)
    inside = _aged(home.path / "store/unmerged/E/P/T/s-v1/gone-001/000000/simulate_000001.root")
    (inside.parent / "simulate_000002.root").symlink_to(precious)
    assert [one.path for one in purge(home).removed if one.kind != "empty folder"] == [inside]
    assert precious.is_file()
    assert (inside.parent / "simulate_000002.root").is_symlink()


def test_a_folder_that_becomes_a_link_is_not_followed(home: Home, made: Any, tmp_path: Path) -> None:
    from flashsim_prod.production.retention.walking import remove_file

    precious = _aged(tmp_path / "outside" / "simulate_000000.root")
    top = home.path / "store"
    (top / "link").symlink_to(precious.parent, target_is_directory=True)
    assert not remove_file(top / "link" / precious.name, top)
    assert precious.is_file()


def test_names_and_homes_that_are_none(home: Home, made: Any) -> None:
    with pytest.raises(RequestError, match="no request 'toy-999'"):
        purge(home, ["toy-999"])
    with pytest.raises(StorageError, match="cannot be written"):
        purge(Home(home.path, is_read_only=True))


# ---- whatever there is: never what a catalogue names

NAMES = (
    "simulate_000000.root",
    "simulate_000001.root",
    ".a.root.host.0123456789abcdef0123456789abcdef.part",
    "merged.root",
)
FOLDERS = (
    "store/unmerged/E/P/T/s-v1/gone-001/000000",
    "store/unmerged/E/P/T/s-v1/toy-001/000000",
    "store/mc/E/P/T/s-v1/000000",
    "again/gone-001/x",
    "store/user/me/unmerged/P/s-v1/gone-001/000000",
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    places=st.sets(st.tuples(st.sampled_from(FOLDERS), st.sampled_from(NAMES)), max_size=12),
    pick=st.randoms(use_true_random=False),
    days=st.sampled_from([0.0, 2.0, 400.0]),
)
def test_what_a_catalogue_names_is_never_removed(
    tmp_path: Path, places: set[tuple[str, str]], pick: Any, days: float
) -> None:
    shutil.rmtree(tmp_path / "any", ignore_errors=True)
    home = Home(tmp_path / "any")
    (home.path / "requests").mkdir(parents=True)
    files = [_aged(home.path / folder / name, name, days=days) for folder, name in sorted(places)]
    named = [path for path in files if pick.random() < 0.5]
    _register(home, [path for path in named if "/store/" in str(path)])
    purge(home)
    assert all(path.read_text() == path.name for path in named if "/store/" in str(path))
    left = find_leftovers(home)
    assert left.found == ()


def _register(home: Home, paths: list[Path]) -> None:
    with LocalCatalog(home.catalog, "user.me") as catalog:
        catalog.ensure_container(DATASET, {})
        catalog.ensure_block(DATASET, f"{DATASET}#1")
        files = [
            CatalogFile(f"/{path.relative_to(home.path)}", str(path), 1, 1, "0" * 8, "0" * 64)
            for path in paths
        ]
        catalog.declare(f"{DATASET}#1", files, "LOCAL")


# ---- sizes and quotas


def test_sizes_tell_what_takes_room(home: Home, made: Any) -> None:
    _aged(_unmerged(home, made, 0), "x" * 1000)
    _aged(home.path / "slim" / "toy-001" / "a.root", "x" * 300)
    found = sizes(home)
    (one,) = found.datasets
    catalogued = sum((home.path / merge_job(made, index).lfn.lstrip("/")).stat().st_size for index in (0, 1))
    assert (one.request, one.catalogued, one.unmerged) == (made.name, catalogued, 1000)
    assert one.folder > 0
    assert (found.leftovers, found.slim, found.again, found.quota) == (1000, 300, 0, None)
    assert found.home >= one.bytes + 300


def test_a_quota_is_kept_to_before_anything_runs(
    home: Home, placed: Callable[..., Plan], fake_physics: Any
) -> None:
    name = placed(events=100, events_per_job=20).request.name
    set_quota(home, 1000)
    with pytest.raises(
        NoSpaceError, match=r"holds .* of the 1.0 kB that it may.*flashsim-prod purge"
    ) as told:
        drive(home, name)
    assert "\n" not in str(told.value)
    assert not list(home.path.rglob("*.root"))
    set_quota(home, 10**9)
    assert drive(home, name).state == "DONE"
    set_quota(home, None)
    assert quota_of(home) is None
    set_quota(home, None)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"bytes": "x"}', '{"bytes": -1}', '{"bytes": true}'])
def test_a_damaged_quota_is_told(home: Home, text: str) -> None:
    (home.path / "quota.json").write_text(text)
    with pytest.raises(ConfigError, match=r"quota\.json"):
        quota_of(home)


def test_requests_that_are_spoiled_do_not_stop_it(home: Home, made: Any) -> None:
    path = _aged(_unmerged(home, made, 0))
    spoiled = home.requests / "spoiled" / "request.yaml"
    spoiled.parent.mkdir()
    spoiled.write_text("no: request")
    assert path in [one.path for one in purge(home).removed]
    assert "spoiled" in {one.request for one in sizes(home).datasets}
    assert load_request(home.folder(made.name).request) == made
