"""Lost files are found, made again by exactly their jobs, compared, and put back; nothing else is touched."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from flashsim_prod.core.splitting import merge_job, simulate_job
from flashsim_prod.core.states import Stage
from flashsim_prod.errors import JobsFailedError, LockedError, RequestError, VerifyError
from flashsim_prod.grid.catalog.local import LocalCatalog
from flashsim_prod.grid.ledger.ledger import Ledger
from flashsim_prod.grid.locks import request_lock
from flashsim_prod.physics.nanoaod import content
from flashsim_prod.production.again import jobs as again_jobs
from flashsim_prod.production.again import recover as recovering
from flashsim_prod.production.again.recover import Recovery, Ways, recover
from flashsim_prod.production.again.subject import chosen_files, find_subject
from flashsim_prod.production.dataset.verify import verify
from flashsim_prod.production.drive.foreground import drive
from flashsim_prod.production.home import VARIABLE, Home, open_home
from flashsim_prod.production.job.run import read_report, write_report
from flashsim_prod.production.order.plan import Plan
from flashsim_prod.software import code_digest

Made = tuple[str, list[Path]]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a state folder is kept as it was when its dataset was made."""
    return tmp_path_factory.mktemp("kept")


@pytest.fixture
def home(kept: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """The state folder of all these tests, which `made` puts back to what it was."""
    shutil.rmtree(kept / "home", ignore_errors=True)
    monkeypatch.setenv(VARIABLE, str(kept / "home"))
    return open_home()


@pytest.fixture
def made(home: Home, kept: Path, placed: Callable[..., Plan], fake_physics: Any) -> Made:
    """A finished dataset of 3 files, of 2, 2 and 1 simulate jobs."""
    if not (kept / "copy").is_dir():
        drive(home, placed(events=100, events_per_job=20, per_merge=2).request.name)
        shutil.copytree(home.path, kept / "copy", symlinks=True)
    shutil.rmtree(home.path)
    shutil.copytree(kept / "copy", home.path, symlinks=True)
    with Ledger(home.ledger) as ledger:
        files = [Path(file.output.pfn) for file in ledger.files("toy-001", Stage.MERGE)]
        assert len(files) == 3
        return str(ledger.request("toy-001").dataset), files


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """The jobs that are run again."""
    found: list[tuple[str, int]] = []
    command = again_jobs.worker_command

    def told(stage: str, request_file: Path, index: int) -> list[str]:
        found.append((str(stage), index))
        return command(stage, request_file, index)

    monkeypatch.setattr(again_jobs, "worker_command", told)
    return found


def _recover(home: Home, word: str, *files: str, **ways: Any) -> Recovery:
    subject = find_subject(home, word)
    return recover(subject, chosen_files(subject.request, files), Ways(**ways))


def _stamps(files: list[Path]) -> list[tuple[int, int]]:
    return [(path.stat().st_ino, path.stat().st_mtime_ns) for path in files]


def test_a_sound_dataset_is_left_alone(home: Home, made: Made) -> None:
    before = _stamps(made[1])
    found = _recover(home, made[0])
    assert (found.looked_at, found.files, found.error()) == (3, (), None)
    assert _stamps(made[1]) == before
    assert not (home.path / "again").exists()


@pytest.mark.parametrize("how", ["missing", "size", "checksum"])
def test_exactly_the_jobs_of_a_lost_file_run_again(
    home: Home, made: Made, how: str, request: pytest.FixtureRequest
) -> None:
    dataset, files = made
    was, others = files[1].read_bytes(), [files[0], files[2]]
    before = _stamps(others)
    if how == "missing":
        files[1].unlink()
    elif how == "size":
        files[1].write_bytes(was[:-1])
    else:
        files[1].write_bytes(was[:-1] + b"x")
    ran = request.getfixturevalue("ran")
    (one,) = _recover(home, dataset).files
    assert (one.lost.index, one.lost.why, one.proof, one.refused) == (1, how, "bytes", "")
    assert sorted(ran) == [("merge", 1), ("simulate", 2), ("simulate", 3)]
    assert files[1].read_bytes() == was
    assert _stamps(others) == before
    assert verify(home, dataset).problems == ()
    assert not (home.path / "again").exists()


def test_only_the_files_asked_for(home: Home, made: Made, ran: list[tuple[str, int]]) -> None:
    dataset, files = made
    for path in files:
        path.unlink()
    assert [one.lost.index for one in _recover(home, dataset, "0", files[2].name).files] == [0, 2]
    assert sorted(ran) == [("merge", 0), ("merge", 2), *(("simulate", n) for n in (0, 1, 4))]
    assert [path.exists() for path in files] == [True, False, True]


def test_a_dry_run_writes_nothing(home: Home, made: Made, ran: list[tuple[str, int]]) -> None:
    dataset, files = made
    files[0].unlink()
    found = _recover(home, dataset, dry_run=True)
    assert (found.jobs, [one.proof for one in found.files], ran) == (3, [None], [])
    assert not files[0].exists()


def test_without_checksums_a_flipped_bit_is_not_seen(home: Home, made: Made) -> None:
    dataset, files = made
    files[0].write_bytes(files[0].read_bytes()[:-1] + b"x")
    assert _recover(home, dataset, read=False, dry_run=True).files == ()
    assert len(_recover(home, dataset, dry_run=True).files) == 1


def test_what_was_stopped_goes_on(
    home: Home,
    made: Made,
    ran: list[tuple[str, int]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dataset, files = made
    was = [path.read_bytes() for path in files]
    for path in files[:2]:
        path.unlink()
    monkeypatch.setenv("FAKE_TROUBLE", str(tmp_path))
    (tmp_path / "simulate_3").write_text("InputError", encoding="utf-8")
    with pytest.raises(JobsFailedError, match=r"simulate 3: trouble in simulate 3 .*log: "):
        _recover(home, dataset, slots=1)
    assert [path.exists() for path in files] == [True, False, True]
    (tmp_path / "simulate_3").unlink()
    before = _stamps([files[0], files[2]])
    ran.clear()
    assert [one.proof for one in _recover(home, dataset).files] == ["bytes"]
    # what was done before is not done again
    assert sorted(ran) == [("merge", 1), ("simulate", 3)]
    assert [path.read_bytes() for path in files] == was
    assert _stamps([files[0], files[2]]) == before


def test_other_code_makes_files_again_and_is_compared(
    home: Home, made: Made, ran: list[tuple[str, int]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset, files = made
    request = home.folder("toy-001").request
    text = request.read_text(encoding="utf-8")
    request.write_text(text.replace(code_digest(), "0123456789ab"), encoding="utf-8")
    was = files[2].read_bytes()
    files[2].unlink()
    # what another code left half-done is not taken
    monkeypatch.setenv("FAKE_TROUBLE", str(tmp_path))
    (tmp_path / "merge_2").write_text("InputError", encoding="utf-8")
    with monkeypatch.context() as patch:
        patch.setattr(again_jobs, "code_digest", lambda: "0123456789ab")
        with pytest.raises(JobsFailedError):
            _recover(home, dataset)
    (tmp_path / "merge_2").unlink()
    ran.clear()
    assert [one.proof for one in _recover(home, dataset).files] == ["bytes"]
    assert sorted(ran) == [("merge", 2), ("simulate", 4)]
    assert files[2].read_bytes() == was


def test_another_content_is_refused(
    home: Home, made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The catalogue, as somebody else wrote it, says another checksum, and no value can be compared."""
    dataset, files = made
    with LocalCatalog(home.catalog) as catalog:
        entry = next(one for one in catalog.files(dataset) if one.lfn.endswith(files[0].name))
        catalog._database._connection.execute(  # behind its back
            "UPDATE files SET adler32 = '00000000', sha256 = ? WHERE lfn = ?", ("0" * 64, entry.lfn)
        )
    was = files[0].read_bytes()
    for path in files[1:]:
        path.write_bytes(b"nothing to compare with")
    found = _recover(home, dataset, "0")
    (one,) = found.files
    assert one.proof is None
    assert "other bytes" in one.refused
    error = found.error()
    assert isinstance(error, VerifyError)
    assert "nothing was put in its place" in str(error)
    assert "\n" not in str(error)
    # what stood there stands there, and nobody was told anything else
    assert files[0].read_bytes() == was
    with LocalCatalog(home.catalog) as catalog:
        assert {one.adler32 for one in catalog.files(dataset) if one.lfn == entry.lfn} == {"00000000"}


def test_a_folder_alone_is_enough(
    home: Home, made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An old request's folder, elsewhere; its home is gone, and so are its files."""
    _, files = made
    was = files[2].read_bytes()
    old = tmp_path / "archive" / "toy-001"
    shutil.copytree(home.folder("toy-001").path, old)
    shutil.rmtree(home.path)
    other = Home(tmp_path / "other")
    monkeypatch.setenv("FLASHSIM_PROD_HOME", str(other.path))
    found = _recover(other, str(old), "2")
    assert [(one.lost.index, one.proof) for one in found.files] == [(2, "bytes")]
    (made_again,) = other.path.rglob(files[2].name)
    assert made_again.read_bytes() == was
    # without its reports nothing tells what it held
    shutil.rmtree(old / "reports")
    with pytest.raises(RequestError, match="nothing tells what they held"):
        _recover(other, str(old / "request.yaml"))


def test_one_command_at_a_time(home: Home, made: Made) -> None:
    made[1][0].unlink()
    with request_lock(home.folder("toy-001").path), pytest.raises(LockedError):
        _recover(home, made[0])


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["3"], "no file 3: .* has 3, counted from 0"),
        (["2-1"], "ends before it begins"),
        (["x"], "'x' is no number"),
        (["0", "1-x"], "'1-x' is no number"),
        (["ABC.root"], "has no file ABC.root"),
        ([""], "'' is no number"),
    ],
)
def test_files_that_are_none(home: Home, placed: Callable[..., Plan], words: list[str], says: str) -> None:
    plan = placed(events=100, events_per_job=20, per_merge=2)
    with pytest.raises(RequestError, match=says):
        chosen_files(plan.request, words)


def test_datasets_that_are_none(home: Home, placed: Callable[..., Plan], tmp_path: Path) -> None:
    plan = placed(events=100)
    for word, says in (
        ("toy-002", "no request 'toy-002'.*toy-001"),
        (str(plan.request.dataset).replace("-v1", "-v9"), "did you mean"),
        ("/nowhere", "no dataset name"),
        (f"{tmp_path.name}/nowhere", "no request.yaml"),
    ):
        with pytest.raises(RequestError, match=says):
            find_subject(home, word)


def test_a_spoiled_folder_keeps_no_other_from_being_found(home: Home, placed: Callable[..., Plan]) -> None:
    spoiled = placed("a", dry_run=True, events=100)
    plan = placed("b", events=100)
    home.folder(spoiled.request.name).request.write_text("nonsense: [")
    assert find_subject(home, str(plan.request.dataset)).request == plan.request
    with pytest.raises(RequestError, match=r"no request in .* makes .*-v9/NANOAODSIM"):
        find_subject(home, re.sub("-v[0-9]+/", "-v9/", str(plan.request.dataset)))


def test_a_request_without_files_has_nothing_lost(home: Home, placed: Callable[..., Plan]) -> None:
    placed(events=100)
    with pytest.raises(RequestError, match="no catalogue knows it"):
        _recover(home, "toy-001")


def test_digests_of_values_tell_what_bytes_do_not(
    home: Home, made: Made, fake_physics: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The software writes other bytes now: what its job told of its values decides, either way."""
    dataset, files = made
    subject = find_subject(home, dataset)
    path = subject.folder.report(Stage.MERGE, 0)
    report = read_report(path)
    assert report is not None
    write_report(path, report.model_copy(update={"content": {"Jet": "0" * 16, "MET": "1" * 16}}))
    _write_otherwise(monkeypatch, {"Jet": "0" * 16, "MET": "2" * 16})
    files[0].unlink()
    (one,) = _recover(home, dataset, "0").files
    assert (one.proof, one.refused) == (None, "other values of MET")
    assert not files[0].exists()
    shutil.rmtree(home.path / "again")
    _write_otherwise(monkeypatch, {"Jet": "0" * 16, "MET": "1" * 16})
    (one,) = _recover(home, dataset, "0").files
    assert (one.proof, one.refused) == ("values", "")
    assert files[0].read_bytes().endswith(b"otherwise\n")
    # catalogue, ledger and report all have the new bytes
    assert verify(home, dataset).problems == ()
    with LocalCatalog(home.catalog) as catalog:
        assert sum(file.bytes for file in catalog.files(dataset)) == sum(p.stat().st_size for p in files)
    assert drive(home, "toy-001").files[0].bytes == files[0].stat().st_size
    assert _recover(home, dataset).files == ()


def _write_otherwise(monkeypatch: pytest.MonkeyPatch, content: dict[str, str]) -> None:
    monkeypatch.setenv("FAKE_OTHERWISE", json.dumps(content))


def test_names_of_files_are_those_of_the_jobs(home: Home, made: Made) -> None:
    subject = find_subject(home, made[0])
    lfn = merge_job(subject.request, 1).lfn
    assert chosen_files(subject.request, [lfn, "2", "0-1"]) == (0, 1, 2)
    assert chosen_files(subject.request, [str(made[1][1])]) == (1,)
    assert os.path.basename(lfn) == made[1][1].name


@pytest.mark.parametrize(("left", "compared"), [((0, 2, 2), ["/lfn/1"]), ((0, 0, 0), [])])
def test_what_holds_no_events_is_no_witness(
    plan_of: Callable[..., Plan], monkeypatch: pytest.MonkeyPatch, left: tuple[int, ...], compared: list[str]
) -> None:
    """Where the shower may throw events away, a job of which nothing is left agrees with any file."""
    request = plan_of(events=60, events_per_job=20, per_merge=3).request
    lfns = [simulate_job(request, index).lfn for index in range(3)]

    class Run:
        def simulate(self, index: int) -> list[int]:
            return [index]

        def run(self, nodes: list[int], slots: int, told: Any) -> Any:
            return SimpleNamespace(succeeded=True)

        def report(self, stage: Stage, index: int) -> Any:
            return SimpleNamespace(events=left[index])

        def output(self, lfn: str) -> Path:
            return Path(f"/lfn/{lfns.index(lfn)}")

    seen: list[str] = []

    def different(one: str, other: str) -> list[str]:
        seen.append(one)
        return []

    known = SimpleNamespace(
        entries={0: SimpleNamespace(events=4, lfn="sound")},
        look=lambda indices: [],
        storage=SimpleNamespace(readable=lambda lfn: nullcontext(Path(lfn))),
    )
    monkeypatch.setattr(content, "different_branches", different)
    monkeypatch.setattr(recovering, "opened_dataset_of_all", lambda dataset: nullcontext(known))
    dataset: Any = SimpleNamespace(subject=SimpleNamespace(request=request))
    run: Any = Run()
    assert recovering._Witness(dataset, run, {7}, [0])() == ([] if compared else None)
    assert seen == compared
    known.entries[0].events = 0
    assert recovering._Witness(dataset, run, {7}, [0])() is None
