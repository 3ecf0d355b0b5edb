"""Extensions: what they go on with, who may make one, and what is refused."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from flashsim_prod import software
from flashsim_prod.core.request import BundleRef, InputFile, Request
from flashsim_prod.core.sources.nano import NanoFiles
from flashsim_prod.core.states import JobState
from flashsim_prod.errors import BundleError, FlashSimError, InputError, RequestError, StateError
from flashsim_prod.grid.catalog.local import LocalCatalog
from flashsim_prod.grid.ledger.ledger import Ledger
from flashsim_prod.production.home import Home
from flashsim_prod.production.order import extend
from flashsim_prod.production.order.extend import Extending, extension_order, find_family
from flashsim_prod.production.order.library import BundleFound
from flashsim_prod.production.order.order import named_source
from flashsim_prod.production.order.place import place, preview
from flashsim_prod.production.order.plan import Plan

Placed = Callable[..., Plan]


@pytest.fixture(autouse=True)
def toy_bundle(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bundle that toy requests are bound to."""
    found = BundleFound(BundleRef(path="reference", digest="0" * 64), "RefDet", "toy models")
    monkeypatch.setattr(extend, "find_checked_bundle", lambda _: found)


def _extend(home: Home, name: str, *, wanted: str | None = None, dry_run: bool = False, **typed: Any) -> Plan:
    order, found, notes = extension_order(home, name, Extending(**typed))
    plan = preview(home, order, wanted)
    placed = place(home, order, plan, bundle_title=found.title, named=wanted is not None, dry_run=dry_run)
    return Plan(**{**vars(placed), "notes": (*notes, *placed.notes)})


def _move(home: Home, name: str, to: JobState) -> None:
    with Ledger(home.ledger) as ledger:
        before = JobState.PLANNED
        for step in (JobState.SUBMITTING, to):
            ledger.move_all(name, [before], step)
            before = step


def test_it_goes_on_where_the_last_one_ended(home: Home, placed: Placed) -> None:
    first = placed(events=1000, events_per_job=300, seed=5).request
    one = _extend(home, "toy-001", events="500", events_per_job="200").request
    two = _extend(home, "toy-001", events="100").request
    assert (one.name, two.name) == ("toy-001_ext1", "toy-001_ext2")
    assert [str(each.dataset).split("/")[2] for each in (one, two)] == [
        "FlashSim2018-RefDet_x10_ext1-v1",
        "FlashSim2018-RefDet_x10_ext2-v1",
    ]
    assert one.extends is not None
    assert (one.extends.request, one.extends.digest) == ("toy-001", first.digest())
    assert (one.before.jobs, one.before.gen_events, one.before.lumis) == (4, 100, 4)
    assert (two.before.jobs, two.before.gen_events) == (4 + one.n_simulate, 150)
    for each in (one, two):
        assert (each.card, each.seed, each.bundle, each.oversample) == (first.card, 5, first.bundle, 10)
    with Ledger(home.ledger) as ledger:
        assert find_family(home, ledger, "toy-001_ext2").later == (one, two)
        assert ledger.request(one.name).digest == one.digest()


def test_an_extension_is_extended_as_its_request_is(home: Home, placed: Placed) -> None:
    placed()
    _extend(home, "toy-001", events="500", dry_run=True)
    plan = _extend(home, "toy-001_ext1", events="500", wanted="more")
    assert plan.request.name == "more"
    assert plan.request.extends is not None
    assert (plan.request.extends.request, plan.request.extends.number) == ("toy-001", 2)
    assert "toy-001_ext1 is itself an extension: this one goes on after the last one of toy-001" in plan.notes


def test_requests_of_one_name_have_extensions_of_their_own(home: Home, placed: Placed) -> None:
    placed("a"), placed("b")
    made = [_extend(home, name, events="10").request for name in ("b", "a", "b")]
    assert [one.before.gen_events for one in made] == [100, 100, 101]
    assert [str(one.dataset)[-27:] for one in made] == [
        "RefDet_x10_ext1-v2/NANOAODSIM"[-27:],
        "RefDet_x10_ext1-v3/NANOAODSIM"[-27:],
        "RefDet_x10_ext2-v2/NANOAODSIM"[-27:],
    ]


def test_extensions_made_at_once_share_no_event(home: Home, placed: Placed) -> None:
    placed()

    def one(_: int) -> Request:
        return _extend(home, "toy-001", events="500").request

    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(one, range(6)))
    assert sorted(each.before.gen_events for each in made) == [100 + 50 * n for n in range(6)]
    assert len({str(each.dataset) for each in made} | {each.name for each in made}) == 12


@pytest.mark.parametrize(
    ("state", "line"),
    [
        (
            JobState.FAILED,
            "request toy-001 failed, and what is not there cannot be extended; finish it first",
        ),
        (JobState.CANCELLED, "request toy-001 was cancelled, and what is not there cannot be extended"),
    ],
)
def test_what_is_not_going_to_be_finished_is_not_extended(
    home: Home, placed: Placed, state: JobState, line: str
) -> None:
    placed()
    _move(home, "toy-001", state)
    with pytest.raises(StateError, match=line):
        _extend(home, "toy-001", events="500")
    assert home.names() == ["toy-001"]


def test_what_is_still_running_is_extended_and_told(home: Home, placed: Placed) -> None:
    placed()
    assert "toy-001 is not finished yet" in _extend(home, "toy-001", events="500").notes[0]
    _move(home, "toy-001_ext1", JobState.CANCELLED)
    plan = _extend(home, "toy-001", events="500")
    assert "toy-001_ext1 was cancelled: its events are left to it" in plan.notes[1]
    assert plan.request.before.gen_events == 150


def test_a_dry_run_is_started_first(home: Home, placed: Placed) -> None:
    placed(dry_run=True)
    with pytest.raises(StateError, match="never started; start it first: flashsim-prod retry toy-001"):
        _extend(home, "toy-001", events="500")


@pytest.mark.parametrize("gone", ["toy-001", "toy-001_ext1"])
def test_numbers_that_are_not_known_are_not_gone_on_with(home: Home, placed: Placed, gone: str) -> None:
    placed()
    _extend(home, "toy-001", events="500")
    shutil.rmtree(home.folder(gone).path)
    for name in ("toy-001", "toy-001_ext1"):
        with pytest.raises(StateError, match=rf"{gone}/request\.yaml is gone"):
            _extend(home, name, events="500")


def test_other_models_make_no_extension(home: Home, placed: Placed, monkeypatch: pytest.MonkeyPatch) -> None:
    placed()
    found = BundleFound(BundleRef(path="reference", digest="1" * 64), "RefDet", "other models")
    monkeypatch.setattr(extend, "find_checked_bundle", lambda _: found)
    with pytest.raises(BundleError, match=r"bundle reference is another one than when toy-001 was made"):
        _extend(home, "toy-001", events="500")


def test_another_version_of_the_software_is_told(
    home: Home, placed: Placed, monkeypatch: pytest.MonkeyPatch
) -> None:
    placed()
    monkeypatch.setattr(software, "__version__", "9.9")
    assert re.search(
        r"made with flashsim-prod 0\.1\.0 \(code .*\), this will be made with flashsim-prod 9\.9 \(code",
        _extend(home, "toy-001", events="10").notes[0],
    )


def test_other_code_is_told(home: Home, placed: Placed, monkeypatch: pytest.MonkeyPatch) -> None:
    placed()
    monkeypatch.setattr(software, "code_digest", lambda: "0" * 12)
    assert (
        "this will be made with flashsim-prod 0.1.0 (code 000000000000)"
        in _extend(home, "toy-001", events="10").notes[0]
    )


def test_a_dataset_made_elsewhere_is_not_made_again(home: Home, placed: Placed) -> None:
    """A copy of the state folder may have extended the request: its events would be these."""
    placed()
    with LocalCatalog(home.catalog) as catalog:
        catalog.ensure_container("/Toy_13TeV/FlashSim2018-RefDet_x10_ext1-v1/NANOAODSIM", {})
    with pytest.raises(RequestError, match=r"x10_ext1-v1/NANOAODSIM is in the catalogue and no request here"):
        _extend(home, "toy-001", events="500")


@pytest.mark.parametrize(
    ("typed", "line"),
    [
        ({}, "--events is missing"),
        ({"events": "many"}, "--events: 'many' is no number"),
        ({"events": "10", "site": "nowhere"}, "no site 'nowhere'"),
        ({"events": "10", "events_per_job": "-1"}, "--events-per-job"),
    ],
)
def test_wrong_words_are_told(home: Home, placed: Placed, typed: dict[str, str], line: str) -> None:
    placed()
    with pytest.raises(FlashSimError, match=line):
        _extend(home, "toy-001", **typed)
    assert home.names() == ["toy-001"]


def _with_files(placed: Placed, path: Path, *, events: int) -> None:
    path.write_bytes(b"0123456789")
    file = InputFile(url=str(path), entries=100, bytes=10)
    placed(source=NanoFiles(files=(file,)), events=events)


@pytest.fixture
def entries(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Says how many events an input file holds."""
    from flashsim_prod.physics.generator.kinds import find_kind

    kind = find_kind("nano")
    return lambda number: monkeypatch.setattr(kind, "entries", lambda url: number)


def test_input_is_used_from_where_it_was_left(
    home: Home, placed: Placed, tmp_path: Path, entries: Callable[[int], None]
) -> None:
    _with_files(placed, tmp_path / "gen.root", events=600)
    entries(100)
    with pytest.raises(
        RequestError, match=r"need 41 gen events, but the input files hold 40 more; ask for at most 400"
    ):
        _extend(home, "toy-001", events="401")
    one = _extend(home, "toy-001", events="100").request
    rest = _extend(home, "toy-001").request
    assert [(each.before.gen_events, each.gen_events) for each in (one, rest)] == [(60, 10), (70, 30)]
    with pytest.raises(RequestError, match="all 100 events of its input files are used; new files make a"):
        _extend(home, "toy-001")


def test_two_at_once_cannot_both_have_what_is_left(
    home: Home, placed: Placed, tmp_path: Path, entries: Callable[[int], None]
) -> None:
    _with_files(placed, tmp_path / "gen.root", events=600)
    entries(100)
    order, _, _ = extension_order(home, "toy-001", Extending(events="300"))
    plan = preview(home, order, None)
    _extend(home, "toy-001", events="200")
    with pytest.raises(RequestError, match="another command has extended toy-001 meanwhile: 20 events"):
        place(home, order, plan, bundle_title="", named=False, dry_run=False)
    assert home.names() == ["toy-001", "toy-001_ext1"]


def test_a_file_is_known_by_what_is_in_it(home: Home, placed: Placed, write_lhe: Callable[..., Path]) -> None:
    path = write_lhe("gen.lhe", 30)
    source, _ = named_source([str(path)])
    assert str(source.files[0].identity).startswith("sha256:")
    placed(source=source, events=100)
    whole, when = path.read_bytes(), path.stat()
    # as many events, as many bytes, as old: and another seed
    path.write_bytes(whole.replace(b"1.", b"2."))
    os.utime(path, ns=(when.st_atime_ns, when.st_mtime_ns))
    assert (path.stat().st_size, named_source([str(path)])[0].available) == (when.st_size, 30)
    with pytest.raises(
        InputError, match=r"gen\.lhe is another file than .* \(sha256 [0-9a-f]{13}\.\.\., then "
    ):
        _extend(home, "toy-001", events="100")
    path.write_bytes(whole)
    assert _extend(home, "toy-001", events="100").request.source == source


def test_what_was_written_before_files_had_an_identity_is_as_it_was() -> None:
    file = InputFile(url="/a.root", entries=3)
    assert list(file.model_dump()) == ["url", "entries", "bytes", "lfn", "dataset"]
    known = file.model_copy(update={"identity": "uuid:1"})
    assert InputFile(**known.model_dump()) == known


@pytest.mark.parametrize(("contents", "number"), [(b"0123456789", 99), (b"other", 100)])
def test_other_files_make_no_extension(
    home: Home, placed: Placed, tmp_path: Path, entries: Callable[[int], None], contents: bytes, number: int
) -> None:
    _with_files(placed, tmp_path / "gen.root", events=600)
    (tmp_path / "gen.root").write_bytes(contents)
    entries(number)
    with pytest.raises(InputError, match=r"gen\.root is another file than when toy-001 was made"):
        _extend(home, "toy-001", events="10")
