"""Existing files as input: whole or cut, of one kind or another, sound or not."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot

from flashsim_prod.errors import InputError
from flashsim_prod.physics.events import Collection, Events
from flashsim_prod.physics.generator.existing import KIND, NanoSource, inspect_input
from flashsim_prod.physics.generator.pileup import PROFILES
from flashsim_prod.physics.nanoaod.schema import Schema

V9 = Schema.load("v9")

SAMPLES = os.environ.get("FLASHSIM_PROD_NANO_SAMPLES")

WriteFile = Callable[..., str]


def _jagged(collection: Collection) -> dict[str, ak.Array]:
    return {key: ak.unflatten(column, collection.counts) for key, column in collection.columns.items()}


def _branches(events: Events, *, shared_counter: bool) -> dict[str, object]:
    """As written with one counter for a collection, or one for each of its branches."""
    found: dict[str, object] = dict(events.scalars)
    for name, collection in events.collections.items():
        columns = _jagged(collection)
        if shared_counter:
            found[name] = ak.zip(columns)
        else:
            found |= {f"{name}_{key}": column for key, column in columns.items()}
    return found


def _write(path: Path, found: Mapping[str, object], tree: str = "Events") -> None:
    with uproot.recreate(path) as file:
        file.mktree(
            tree,
            {
                key: one.dtype if isinstance(one, np.ndarray) else one.type.content
                for key, one in found.items()
            },
        ).extend(found)


@pytest.fixture
def write(tmp_path: Path, ttbar: Events) -> WriteFile:
    """Writes some of the generated top pairs; returns the path."""

    def build(
        name: str = "gen.root",
        *,
        start: int = 0,
        stop: int = 150,
        without: tuple[str, ...] = (),
        shared_counter: bool = True,
        more: Mapping[str, np.ndarray] | None = None,
    ) -> str:
        events = ttbar.slice(start, stop)
        scalars = {key: column for key, column in events.scalars.items() if key not in without}
        collections = {
            key: Collection(one.counts, {a: c for a, c in one.columns.items() if f"{key}_{a}" not in without})
            for key, one in events.collections.items()
            if key not in without
        }
        kept = Events(events.n, {**scalars, **(more or {})}, collections)
        _write(tmp_path / name, _branches(kept, shared_counter=shared_counter))
        return str(tmp_path / name)

    return build


def _read(files, *, first=0, n=None, chunk=40, seed=1, **options) -> Events:
    counted = [(url, inspect_input(url)) for url in files]
    n = sum(entries for _, entries in counted) - first if n is None else n
    source = NanoSource(counted, first=first, n_events=n, seed=seed, **options, schema=V9)
    return Events.concatenate(source.chunks(chunk))


def _assert_same(one: Events, other: Events) -> None:
    assert one.n == other.n
    assert set(one.scalars) == set(other.scalars)
    assert set(one.collections) == set(other.collections)
    for name, column in one.scalars.items():
        np.testing.assert_array_equal(column, other.scalars[name], err_msg=name)
    for name, collection in one.collections.items():
        np.testing.assert_array_equal(collection.counts, other[name].counts, err_msg=name)
        for key, column in collection.columns.items():
            np.testing.assert_array_equal(column, other[name][key], err_msg=f"{name}_{key}")


@pytest.mark.parametrize("shared_counter", [True, False])
def test_a_file_gives_back_what_was_generated(write, ttbar, shared_counter):
    _assert_same(_read([write(shared_counter=shared_counter)]), ttbar)


@pytest.mark.parametrize("chunk", [1, 13, 500])
@pytest.mark.parametrize(("first", "n"), [(0, 150), (37, 80), (60, 1), (149, 1)])
def test_any_range_of_several_files_in_chunks_of_any_size(write, ttbar, chunk, first, n):
    files = [write("a.root", stop=60), write("b.root", start=60, stop=61), write("c.root", start=61)]
    counted = list(zip(files, (60, 1, 89), strict=True))
    chunks = list(NanoSource(counted, first=first, n_events=n, seed=1, schema=V9).chunks(chunk))
    assert all(one.n == chunk for one in chunks[:-1])
    _assert_same(Events.concatenate(chunks), ttbar.slice(first, first + n))


def test_the_numbering_of_the_input_is_kept_under_other_names(write):
    numbers = np.arange(1000, 1150, dtype=np.uint64)
    url = write(more={"run": np.full(150, 1, np.uint32), "event": numbers})
    events = _read([url], first=10, n=20)
    assert events.scalars["FlashSim_inputEvent"].tolist() == list(range(1010, 1030))
    assert events.scalars["FlashSim_inputEvent"].dtype == np.uint64
    assert events.scalars["FlashSim_inputRun"].tolist() == [1] * 20
    assert not {"run", "event", "FlashSim_inputLumi"} & set(events.scalars)


def test_narrow_integers_of_later_versions_become_those_of_v9(tmp_path, ttbar):
    narrow = {"genPartIdxMother": np.int16, "statusFlags": np.uint16, "partonFlavour": np.int16}
    collections = {
        name: one.with_columns(**{k: one[k].astype(t) for k, t in narrow.items() if k in one})
        for name, one in ttbar.collections.items()
    }
    narrowed = Events(150, ttbar.scalars, collections)
    _write(tmp_path / "v12.root", _branches(narrowed, shared_counter=False))
    events = _read([str(tmp_path / "v12.root")])
    _assert_same(events, ttbar)
    assert events["GenPart"]["statusFlags"].dtype == np.int32


def test_missing_pileup_is_drawn_and_said(write, ttbar, caplog):
    url = write(without=("Pileup_sumEOOT",))
    events = _read([url], chunk=150)
    assert f"{url} has no Pileup_sumEOOT; drawn" in caplog.text
    again = _read([url], chunk=7)
    _assert_same(events, again)
    for name in ttbar.scalars:
        is_drawn = name == "Pileup_sumEOOT"
        assert np.array_equal(events.scalars[name], ttbar.scalars[name]) is not is_drawn, name


def test_pileup_of_which_nothing_is_known_is_the_profiles(write, ttbar):
    url = write(without=tuple(name for name in ttbar.scalars if name.startswith("Pileup_")))
    events = _read([url], chunk=150)
    np.testing.assert_array_equal(events.scalars["GenVtx_z"], ttbar.scalars["GenVtx_z"])
    busier = _read([url], pileup="Run3_2022").scalars["Pileup_nPU"].mean()
    assert busier > events.scalars["Pileup_nPU"].mean()
    assert abs(events.scalars["Pileup_nPU"].mean() - PROFILES["Run2_2018"].mean) < 4


def test_collections_that_the_file_lacks_are_left_out_and_vertices_drawn(write, ttbar):
    vertex = ("GenVtx_x", "GenVtx_y", "GenVtx_z", "GenVtx_t0")
    url = write(without=("GenJetAK8", "GenVisTau_charge", "Pileup_nPU", *vertex))
    events = _read([url])
    assert not {"GenJetAK8", "GenVisTau"} & set(events.collections)
    assert {"GenPart", "GenJet", "SubGenJetAK8"} <= set(events.collections)
    assert "Pileup_nPU" in events.scalars
    drawn = events.scalars["GenVtx_z"]
    assert drawn.std() == pytest.approx(ttbar.scalars["GenVtx_z"].std(), rel=0.3)
    assert not np.array_equal(drawn, ttbar.scalars["GenVtx_z"])
    _assert_same(_read([url], chunk=7), events)


def test_links_past_the_end_point_to_nothing(write, ttbar, tmp_path):
    taus, particles = ttbar["GenVisTau"], ttbar["GenPart"]
    assert taus.n_objects
    wrong = taus["genPartIdxMother"].copy()
    wrong[0] = particles.counts[taus.event_index[0]] + 3
    broken = ttbar.with_collections({"GenVisTau": taus.with_columns(genPartIdxMother=wrong)})
    _write(tmp_path / "dangling.root", _branches(broken, shared_counter=True))
    mothers = _read([str(tmp_path / "dangling.root")])["GenVisTau"]["genPartIdxMother"]
    assert mothers[0] == -1
    np.testing.assert_array_equal(mothers[1:], taus["genPartIdxMother"][1:])


@pytest.mark.parametrize(
    "branch", ["genWeight", "GenMET_pt", "GenPart_statusFlags", "GenJet_hadronFlavour", "GenPart_pt"]
)
def test_a_missing_branch_is_named(write, branch):
    url = write(without=(branch,))
    with pytest.raises(InputError, match=rf"{url} has no branch '{branch}'") as caught:
        inspect_input(url)
    assert "\n" not in str(caught.value)


def test_files_of_one_request_must_have_the_branches_of_the_first(write):
    files = [write("a.root", stop=50), write("b.root", start=50, without=("GenVisTau",))]
    with pytest.raises(InputError, match=r"b\.root has no branch 'GenVisTau_pt', which .*a\.root has; give"):
        _read(files)
    assert "GenVisTau" not in _read(files[::-1])


def _missing(tmp_path, good):
    return tmp_path / "nowhere.root"


def _truncated(tmp_path, good):
    path = tmp_path / "cut.root"
    path.write_bytes(good.read_bytes()[: good.stat().st_size // 2])
    return path


def _not_root(tmp_path, good):
    path = tmp_path / "letter.root"
    path.write_text("Dear colleague, " * 500)
    return path


def _empty(tmp_path, good):
    path = tmp_path / "empty.root"
    path.write_bytes(b"")
    return path


def _no_tree(tmp_path, good):
    path = tmp_path / "other.root"
    _write(path, {"run": np.array([1])}, tree="Runs")
    return path


def _no_entries(tmp_path, good):
    path = tmp_path / "none.root"
    _write(path, {"genWeight": np.zeros(0, np.float32)})
    return path


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (_missing, "does not exist"),
        (_truncated, "is truncated"),
        (_not_root, "is no ROOT file"),
        (_empty, "is empty"),
        (_no_tree, "holds no tree 'Events'"),
        (_no_entries, "holds no events"),
    ],
)
def test_a_bad_file_is_refused_in_one_line(tmp_path, write, spoil, says):
    path = spoil(tmp_path, Path(write()))
    with pytest.raises(InputError, match=says) as caught:
        inspect_input(str(path))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_more_events_than_there_are(write):
    url = write(stop=20)
    with pytest.raises(InputError, match="events 10 to 30 were asked for, but the input files hold 20"):
        NanoSource([(url, 20)], first=10, n_events=20, seed=1, schema=V9)


def test_a_file_that_has_changed_since_it_was_inspected(write):
    source = NanoSource([(write(stop=20), 25)], first=0, n_events=25, seed=1, schema=V9)
    with pytest.raises(InputError, match="holds 20 events, but held 25"):
        list(source.chunks(10))


def test_a_file_that_was_replaced_by_one_with_as_many_events(write):
    url, other = write(stop=20), write("other.root", stop=20)
    identity = KIND.identity(url)
    # named by the same path
    Path(other).replace(url)
    assert (KIND.entries(url), KIND.identity(url) != identity) == (20, True)
    source = NanoSource([(url, 20)], identities=[identity], first=0, n_events=20, seed=1, schema=V9)
    with pytest.raises(
        InputError, match=r"another file than when the request was made .*; put the file back"
    ):
        list(source.chunks(10))


@pytest.mark.skipif(SAMPLES is None, reason="FLASHSIM_PROD_NANO_SAMPLES names no folder of real files")
def test_real_files_of_all_versions_are_read():
    # one without events is refused, which has a test of its own
    files = [path for path in sorted(Path(SAMPLES or "").glob("*.root")) if "empty" not in path.name]
    assert files
    for path in files:
        events = _read([str(path)])
        part, jets = events["GenPart"], events["GenJet"]
        assert part.n_objects > 5 * events.n
        assert (part["genPartIdxMother"] < part.counts[part.event_index]).all()
        assert (jets["pt"] >= 10).all()
        assert np.isin(jets["hadronFlavour"], (0, 4, 5)).all()
        assert (events.scalars["FlashSim_inputEvent"] > 0).all()
        types = {f"GenJet_{key}": column.dtype for key, column in jets.columns.items()}
        assert types == {name: V9.branches[name].dtype for name in types}
