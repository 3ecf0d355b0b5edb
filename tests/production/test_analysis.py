"""An analysis from its configuration to a dataset: trained, ordered, simulated, merged, checked."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uproot
from safetensors.numpy import save_file
from typer.testing import CliRunner

from flashsim_prod.cli.main import app
from flashsim_prod.errors import FlashSimError
from flashsim_prod.physics.analysis.producer import AnalysisProducer
from flashsim_prod.physics.chain.bundle import load_bundle
from flashsim_prod.physics.events import Collection, Events
from flashsim_prod.physics.folding import fold_events
from flashsim_prod.physics.nanoaod.schema import Schema
from flashsim_prod.physics.nanoaod.writer import NanoWriter
from flashsim_prod.physics.oversampling import OversampledHist
from flashsim_prod.production.home import Home
from flashsim_prod.production.order.folder import load_request

CONFIG = """\
name: zmumu
title: Z to mumu
objects:
  muons: Muon[(Muon.pt > 20) & (abs(Muon.eta) < 2.4)]
  jets: Jet[Jet.pt > 30]
  ll: p4(muons, 0) + p4(muons, 1)
gen_objects:
  ll: p4(GenMuon, 0) + p4(GenMuon, 1)
networks:
  net: {file: net.safetensors, inputs: [m_ll / 91 - 1, n_jets, met / 50]}
selection: (count(muons) >= 2) & (m_ll > 60) & (m_ll < 120)
variables:
  m_ll: {value: mass(ll), gen: mass(ll), against: ratio, title: "mass of the two muons [GeV]"}
  n_jets: {value: count(jets), type: int, title: number of jets}
  pt_j1: {value: "jets.pt[0]", gen: "GenCleanJet.pt[0]", title: "pt of the leading jet [GeV]", missing: -1}
  met: {value: MET_pt, title: "missing transverse momentum [GeV]"}
  dnn: {value: net, title: output of a network}
fit: {steps: 100, efficiency_steps: 100, width: 16, blocks: 1}
"""


def both_levels(n: int, seed: int = 1) -> Events:
    """`n` events: two muons at generator level, a jet in two of three, and what was reconstructed of them."""
    rng = np.random.default_rng(seed)
    gen_pt, phi = rng.uniform(15, 60, (n, 2)), rng.uniform(-np.pi, np.pi, n)
    gen_pt.sort(axis=1)
    gen_pt = gen_pt[:, ::-1].ravel().astype(np.float32)
    gen_phi = np.stack((phi, phi + np.pi - 0.3), axis=1).ravel().astype(np.float32)
    eta = rng.uniform(-2.2, 2.2, 2 * n).astype(np.float32)
    two = np.full(n, 2, dtype=np.int64)
    charge = np.tile([1, -1], n)
    particles = {
        **{"pt": gen_pt, "eta": eta, "phi": gen_phi, "mass": np.full(2 * n, 0.1057, np.float32)},
        **{"pdgId": (-13 * charge).astype(np.int32), "status": np.ones(2 * n, np.int32)},
        **{"statusFlags": np.full(2 * n, 8193, np.int32), "genPartIdxMother": np.full(2 * n, -1, np.int32)},
    }
    found = rng.random(2 * n) < 0.9
    pt = (gen_pt * rng.normal(1, 0.02, 2 * n)).astype(np.float32)
    muons = {
        "pt": pt,
        "eta": eta,
        "phi": gen_phi,
        "mass": particles["mass"],
        "charge": charge.astype(np.int32),
    }
    jets = (np.arange(n) % 3 > 0).astype(np.int64)
    n_jets = int(jets.sum())
    gen_jets = {
        "pt": rng.exponential(30, n_jets).astype(np.float32) + 10,
        "eta": rng.uniform(-4, 4, n_jets).astype(np.float32),
        "phi": rng.uniform(-3, 3, n_jets).astype(np.float32),
        "mass": np.full(n_jets, 5, np.float32),
        "partonFlavour": np.zeros(n_jets, np.int16),
        "hadronFlavour": np.zeros(n_jets, np.uint8),
    }
    of_jets = {name: gen_jets[name] for name in ("eta", "phi", "mass")}
    of_jets["pt"] = (gen_jets["pt"] * rng.normal(1, 0.1, n_jets)).astype(np.float32)
    met = rng.exponential(15, n).astype(np.float32)
    every = {
        name: np.full(n, 30, np.float32)
        for name in ("Pileup_nTrueInt", "Pileup_gpudensity", "Pileup_pudensity")
    }
    every |= {name: np.full(n, 30, np.int32) for name in ("Pileup_nPU", "Pileup_sumEOOT", "Pileup_sumLOOT")}
    return Events(
        n,
        {
            **every,
            "run": np.ones(n, np.uint32),
            "luminosityBlock": np.ones(n, np.uint32),
            "event": np.arange(1, n + 1, dtype=np.uint64),
            "genWeight": np.where(np.arange(n) % 10, 2.0, -2.0).astype(np.float32),
            "GenMET_pt": met,
            "GenMET_phi": np.zeros(n, np.float32),
            "MET_pt": met + 1,
        },
        {
            "GenPart": Collection(two, particles),
            "GenJet": Collection(jets, gen_jets),
            "Muon": Collection(two, muons).select(found),
            "Jet": Collection(jets, of_jets),
        },
    )


def write(path: Path, events: Events) -> Path:
    """A file of `events`."""
    with NanoWriter(
        path, schema=Schema.default(), provenance={"detector": "reference detector (made up)"}
    ) as file:
        file.write(events)
    return path


def _call(*words: object) -> Any:
    return CliRunner().invoke(app, [str(word) for word in words])


def _done(*words: object) -> Any:
    found = _call(*words)
    assert found.exit_code == 0, (found.output, found.exception)
    return found


def _refused(code: int, told: str, *words: object) -> None:
    error = _call(*words).exception
    assert isinstance(error, FlashSimError), error
    assert error.exit_code == code
    assert told in str(error)
    assert "\n" not in str(error)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A configuration, events of both levels, and the bundle that was trained with them."""
    path = tmp_path_factory.mktemp("analysis")
    write(path / "full.root", both_levels(4000))
    rng = np.random.default_rng(1)
    layers = {"0.weight": rng.normal(size=(4, 3)), "0.bias": rng.normal(size=4)}
    layers |= {"2.weight": rng.normal(size=(1, 4)), "2.bias": np.zeros(1)}
    save_file({name: one.astype(np.float32) for name, one in layers.items()}, path / "net.safetensors")
    (path / "zmumu.yaml").write_text(CONFIG + "files: [full.root]\n")
    return path


@pytest.fixture(scope="module")
def bundle(folder: Path) -> Path:
    words = ("train", "analysis", folder / "zmumu.yaml", "--work", folder / "work", "--json")
    found = json.loads(_done(*words).stdout)
    assert [one["name"] for one in found["variables"]] == ["m_ll", "n_jets", "pt_j1", "met", "dnn"]
    assert 600 < found["gen_events"] == found["events"] < 1000
    return folder / "work" / "bundle"


def _made(home: Home, bundle: Path, folder: Path, name: str, *more: object) -> tuple[dict[str, Any], Any]:
    words = ("--analysis", bundle, "--input", folder / "full.root", "--primary", "Z", "--energy", 13)
    told = _done("request", *words, "--seed", 3, "--name", name, "--json", *more)
    (path,) = sorted(home.path.rglob("*.root"))[-1:] or [None]
    return json.loads(told.stdout), path


def test_the_whole_way(bundle: Path, folder: Path, home: Home, tmp_path: Path) -> None:
    options = ("--events", 300, "--oversample", 3, "--events-per-job", 150, "--slots", 1)
    told, _ = _made(home, bundle, folder, "whole", *options)
    assert told["dataset"].endswith("/NTUPLE")
    assert "RefDet_Zmumu_x3" in told["dataset"]
    (file,) = told["files"]
    path = file["pfn"].removeprefix("file://")
    with uproot.open(path) as opened:
        events = opened["Events"].arrays(library="np")
        runs = opened["Runs"].arrays(library="np")
        about = opened["MetaData"].arrays(library="np")
        titles = {one.name: one.title for one in opened["Events"].branches}
    assert set(events) == {
        *("run", "luminosityBlock", "event", "genWeight", "FlashSim_genEvent", "FlashSim_fold"),
        *("FlashSim_oversample", "m_ll", "n_jets", "pt_j1", "met", "dnn"),
    }
    assert titles["m_ll"] == "mass of the two muons [GeV]"
    # events that pass are in the file, all that were simulated in its sums
    assert 0 < len(events["m_ll"]) == file["events"] < 300
    weights = np.where(np.arange(100) % 10, 2.0, -2.0)
    assert runs["genEventCount"].sum() == 300
    assert runs["genEventSumw"].sum() == pytest.approx(3 * weights.sum())
    assert runs["genEventSumw2"].sum() == pytest.approx(3 * (weights**2).sum())
    np.testing.assert_array_equal(events["genWeight"], weights[events["FlashSim_genEvent"]])
    np.testing.assert_array_equal(
        events["event"], events["FlashSim_genEvent"] * 3 + events["FlashSim_fold"] + 1
    )
    # a generator event can pass in some of its folds, and each has its own numbers
    assert {1, 2} & set(np.unique(events["FlashSim_genEvent"], return_counts=True)[1].tolist())
    assert len(np.unique(events["m_ll"])) > 0.9 * len(events["m_ll"])
    assert ((events["m_ll"] > 10) & (events["m_ll"] < 250)).all()
    # drawn, as it was learned of a sigmoid
    assert ((events["dnn"] > -0.5) & (events["dnn"] < 1.5)).all()
    assert ((events["pt_j1"] == -1) | (events["pt_j1"] > 29)).all()
    assert "reference detector" in about["bundle"][0]
    _done("verify", told["dataset"])
    _done("validate", "check", "whole")
    shown = _done("validate", "histogram", "whole", "--observable", "m_ll", "--json")
    assert "m_ll" in shown.stdout
    # a file with some of its columns has the sums of all that were simulated, too
    slim = ("materialise", "whole", "--branches", "m_ll", "--output", tmp_path / "slim", "--json")
    (some,) = json.loads(_done(*slim).stdout)["files"]
    with uproot.open(some["path"]) as opened:
        np.testing.assert_array_equal(opened["Events"]["m_ll"].array(library="np"), events["m_ll"])
        for name in ("genEventCount", "genEventSumw", "genEventSumw2"):
            assert opened["Runs"][name].array().to_numpy().sum() == pytest.approx(runs[name].sum())
    import hist

    filled = OversampledHist(hist.axis.Regular(6, 60, 120, name="m_ll"))
    filled.fill(
        events["m_ll"], gen_event=events["FlashSim_genEvent"], weight=events["genWeight"], oversample=3
    )
    assert filled.values(flow=True).sum() == pytest.approx(events["genWeight"].sum() / 3)
    page = _done("report", "whole").stdout
    assert "whole" in page


def test_how_fast_it_is(bundle: Path, folder: Path, home: Home) -> None:
    source = ("--input", folder / "full.root", "--energy", 13, "--events", 150, "--oversample", 3)
    told = json.loads(_done("bench", "--analysis", bundle, *source, "--json").stdout)
    # of those that are tried, as a plan counts them
    assert (told["gen_events"], told["events"]) == (50, 150)
    assert set(told["stages_s"]) >= {"read", "fold", "write"}
    assert told["bundle"] == str(bundle)
    words = ("request", "--analysis", bundle, *source, "--primary", "Z", "--dry-run", "--yes")
    assert "measured by bench" in " ".join(_done(*words).stderr.split())
    _refused(2, "--analysis has a bundle of its own", "bench", "--analysis", bundle, "--bundle", "reference")


def test_the_same_events_in_chunks_of_another_size(bundle: Path) -> None:
    numbering = {"run": 1, "first_event": 1, "first_lumi": 1, "gen_events_per_lumi": 50, "job_gen_first": 0}
    gen = both_levels(60)
    gen = Events(gen.n, {k: v for k, v in gen.scalars.items() if k != "event"}, gen.collections)
    folds = fold_events(gen, oversample=5, gen_first=0, **numbering)
    producer = AnalysisProducer(load_bundle(bundle))
    whole = producer.produce(folds, seed=5)
    # of some generator events a part of the folds each
    pieces = [producer.produce(folds.slice(start, start + 13), seed=5) for start in range(0, 300, 13)]
    again = Events.concatenate(pieces)
    assert 0 < whole.n < 300
    for name, column in whole.scalars.items():
        np.testing.assert_array_equal(column, again.scalars[name])
    assert set(whole.scalars) == set(producer.schema.branches)
    assert not np.array_equal(whole.scalars["m_ll"][:9], producer.produce(folds, seed=6).scalars["m_ll"][:9])


@pytest.mark.slow
def test_a_job_of_which_no_event_passes(bundle: Path, folder: Path, home: Home, tmp_path: Path) -> None:
    events = both_levels(20)
    hopeless = events["GenPart"].with_columns(pt=np.full(40, 2, np.float32))
    write(tmp_path / "none.root", events.with_collections({"GenPart": hopeless}))
    words = ("--analysis", bundle, "--input", tmp_path / "none.root", "--primary", "Z", "--energy", 13)
    told = json.loads(
        _done("request", *words, "--seed", 3, "--name", "none", "--events-per-job", 10, "--json").stdout
    )
    assert sum(file["events"] for file in told["files"]) <= 20
    _done("verify", told["dataset"])


def test_a_bundle_where_another_kind_of_it_is_expected(bundle: Path, folder: Path, home: Home) -> None:
    source = ("--input", folder / "full.root", "--primary", "Z", "--energy", 13, "--dry-run")
    _refused(11, "give it by --analysis", "request", *source, "--bundle", bundle)
    _refused(11, "which makes NANOAOD; give it by --bundle", "request", *source, "--analysis", "reference")
    _refused(2, "say one", "request", *source, "--analysis", bundle, "--nano", "v9")
    _refused(2, "say one", "request", *source, "--analysis", bundle, "--bundle", "reference")
    _refused(2, "--virtual", "request", *source[:-1], "--analysis", bundle, "--virtual")
    _refused(2, "one card", "request", "ttbar", "dyjets", "--events", 10, "--analysis", bundle)
    assert not list(home.names())


def test_bundles_of_analyses_are_shown_verified_and_moved(bundle: Path, home: Home, tmp_path: Path) -> None:
    _done("bundle", "verify", bundle)
    assert "zmumu" in _done("bundle", "show", bundle).stdout
    _done("bundle", "card", bundle)
    _done("bundle", "export", bundle, "--output", tmp_path / "z.tar")
    _done("bundle", "import", tmp_path / "z.tar")
    assert "zmumu" in _done("bundle", "list").stdout
    assert load_bundle(bundle).manifest.analysis is not None


@pytest.mark.slow
def test_a_killed_training_goes_on(
    folder: Path, home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flashsim_prod.physics.training import fit

    class Killed(BaseException):
        pass

    def die(path: Path, *_: object) -> None:
        raise Killed

    text = (folder / "zmumu.yaml").read_text().replace("efficiency_steps: 100", "efficiency_steps: 200")
    config = folder / "killed.yaml"
    config.write_text(text)
    words = ("train", "analysis", config, "--json", "--work")
    whole = json.loads(_done(*words, tmp_path / "whole").stdout)
    save = fit.Optimisation.save
    monkeypatch.setattr(fit.Optimisation, "save", lambda self, *more: (save(self, *more), die(*more)))
    with pytest.raises(Killed):
        _call(*words, tmp_path / "cut")
    assert list((tmp_path / "cut" / "fit").glob("*.checkpoint.safetensors"))
    monkeypatch.setattr(fit.Optimisation, "save", save)
    again = json.loads(_done(*words, tmp_path / "cut").stdout)
    assert again["variables"] == whole["variables"]


@pytest.mark.parametrize(
    ("change", "code", "told"),
    [
        (("Muon.pt > 20", "Muon.ptt > 20"), 2, "did you mean 'pt'"),
        (("mass(ll), gen", "mas(ll), gen"), 2, "did you mean 'mass'"),
        (("MET_pt", "open('/etc/passwd')"), 2, "unknown function 'open'"),
        (("(m_ll > 60)", "(m_l > 60)"), 2, "m_ll"),
        (("variables:", "varables:"), 2, "varables"),
        (("net.safetensors", "gone.safetensors"), 2, "networks.net.file: "),
        (("value: net,", "value: nett,"), 2, "did you mean 'net'"),
        (("met / 50]", "met / 50, dnn]"), 2, "networks.net.inputs: unknown column 'dnn'"),
        (("value: net,", "value: met,"), 2, "networks.net: no variable and no selection asks for its output"),
        (("  met:", "  net: {value: MET_pt, title: x}\n  met:"), 2, "or one of that name stands before"),
        (("type: int,", "type: int, missing: 0.5,"), 2, "n_jets.missing: 0.5 is no whole number"),
        (("missing: -1", "missing: .nan"), 2, "variables.pt_j1.missing: "),
        (("value: count(jets)", "value: MET_pt"), 2, "variables.n_jets is of type int, and "),
        (("[full.root]", "[full.root, ./full.root]"), 10, "full.root: named twice; its events"),
        (("n_jets:", "nJets:"), 2, "begins like a counter"),
        (("type: int", "type: integer"), 2, "type"),
        (("m_ll < 120", "m_ll < 30"), 10, "no event of 4,000 passes the selection"),
        ((", missing: -1", ""), 2, "pt_j1 is not defined in"),
        (("full.root", "gone.root"), 10, "gone.root"),
        (("files: [full.root]", ""), 2, "no files"),
    ],
)
def test_bad_configurations(
    folder: Path, home: Home, tmp_path: Path, change: tuple[str, str], code: int, told: str
) -> None:
    text = (folder / "zmumu.yaml").read_text()
    assert change[0] in text
    config = folder / f"bad_{tmp_path.name}.yaml"
    config.write_text(text.replace(*change))
    _refused(code, told, "train", "analysis", config, "--work", tmp_path / "bad")
    assert not (tmp_path / "bad" / "bundle").exists()


def test_the_closure_of_other_events(bundle: Path, folder: Path, home: Home, tmp_path: Path) -> None:
    other = write(tmp_path / "other.root", both_levels(3000, seed=2))
    of_network = ("--networks", folder)
    words = ("train", "closure", bundle, other, "--output", tmp_path / "closure", *of_network, "--json")
    found = _call(*words)
    told = json.loads(found.stdout)
    assert (told["events"], told["gen_events"]) == (3000, 3000)
    bins = json.loads((tmp_path / "closure" / "closure.json").read_text())["bins"]
    assert set(bins) == {"events that pass", "m_ll", "n_jets", "pt_j1", "met", "dnn"}
    off = sum(one["off"] for one in (told["rate"], *told["variables"]))
    # it was trained for a moment only: whatever is off, the command says so by its exit code
    assert told["closes"] == (off == 0) == (found.exception is None)
    hopeless = both_levels(3000, seed=2)
    doubled = hopeless.with_collections({"Jet": hopeless["Jet"].with_columns(pt=hopeless["Jet"]["pt"] * 3)})
    write(tmp_path / "doubled.root", doubled)
    words = ("train", "closure", bundle, tmp_path / "doubled.root", "--output", tmp_path / "closure")
    words = (*words, *of_network)
    _refused(19, "bins with enough events are off by more than 5 %, the most in", *words)
    _refused(11, "a bundle of object models", "train", "closure", "reference", other)
    _refused(10, "gone.root does not exist", "train", "closure", bundle, tmp_path / "gone.root", *of_network)
    _refused(2, "net.safetensors is not in", "train", "closure", bundle, other, "--networks", tmp_path)
    nan = hopeless.scalars["genWeight"].copy()
    nan[7] = np.nan
    write(
        tmp_path / "nan.root",
        Events(hopeless.n, {**hopeless.scalars, "genWeight": nan}, hopeless.collections),
    )
    of_nan = ("train", "closure", bundle, tmp_path / "nan.root", *of_network)
    _refused(10, "nan.root: genWeight is not finite in 1 events", *of_nan)


def test_a_work_folder_of_another_analysis(bundle: Path, folder: Path, home: Home) -> None:
    work = folder / "work"
    text = (folder / "zmumu.yaml").read_text()
    (folder / "other.yaml").write_text(text.replace("name: zmumu", "name: other"))
    (folder / "changed.yaml").write_text(text.replace("Jet.pt > 30", "Jet.pt > 31"))
    words = ("--work", work, "--output", folder / "new")
    _refused(10, "is of the analysis zmumu, not other", "train", "analysis", folder / "other.yaml", *words)
    _refused(10, "before its configuration was changed", "train", "analysis", folder / "changed.yaml", *words)
    _refused(10, "without --quick", "train", "analysis", folder / "zmumu.yaml", "--quick", *words)
    _refused(11, "exists", "train", "analysis", folder / "zmumu.yaml", "--work", work)


def test_ntuples_of_parquet(bundle: Path, folder: Path, home: Home) -> None:
    """Every command takes them; what is in them, `tests/physics/analysis/test_parquet.py` compares."""
    import awkward as ak

    told, _ = _made(home, bundle, folder, "flat", "--events", 90, "--oversample", 3, "--format", "parquet")
    (file,) = told["files"]
    path = Path(file["pfn"].removeprefix("file://"))
    assert path.suffix == ".parquet"
    columns = ak.from_parquet(path)
    assert 0 < len(columns) == file["events"] == told["events"] < 90
    assert {"m_ll", "n_jets", "pt_j1", "met", "genWeight", "FlashSim_fold"} <= set(columns.fields)
    _done("verify", told["dataset"])
    for named in ("flat", path):
        found = json.loads(_done("validate", "check", named, "--json").stdout)
        assert found["files"][0]["events"] == len(columns)
        assert found["files"][0]["problem"] is None
    shown = _done("validate", "histogram", "flat", "--observable", "m_ll", "--json").stdout
    assert "m_ll" in shown
    _refused(2, "it is compared by the closure", "validate", "flat", "--reference", path)
    _refused(2, "DBS knows no files of parquet", "publish", "flat", "--dry-run")
    was = path.read_bytes()
    with path.open("r+b") as opened:
        opened.write(b"PAR2")
    _refused(8, "checksum", "verify", told["dataset"])
    assert "adler32" in str(_call("validate", "check", "flat").exception)
    path.write_bytes(was)


@pytest.mark.slow
def test_lost_ntuples_of_parquet_are_made_again_to_the_byte(bundle: Path, folder: Path, home: Home) -> None:
    told, _ = _made(home, bundle, folder, "flat", "--events", 60, "--format", "parquet")
    path = Path(told["files"][0]["pfn"].removeprefix("file://"))
    was = path.read_bytes()
    path.unlink()
    found = json.loads(_done("recover", "flat", "--json").stdout)
    assert found["files"][0]["proof"] == "bytes"
    assert path.read_bytes() == was


def test_campaigns_of_analyses(bundle: Path, folder: Path, home: Home, tmp_path: Path) -> None:
    path = tmp_path / "flat.yaml"
    start = (
        f"name: flat\nrequests:\n  - {{inputs: {folder / 'full.root'}, energies: 13, primary: Z, seed: 3, "
    )
    path.write_text(f"{start}events: 90, oversample: 3, analysis: {bundle}}}\n")
    _done("campaign", path, "--json")
    (name,) = home.names()
    request = load_request(home.folder(name).request)
    assert request.analysis is not None
    assert (request.analysis.name, str(request.dataset).rpartition("/")[2]) == ("zmumu", "NTUPLE")
    # the same again is nothing, more of it an extension, and of another form another sample
    for change, action in (("", "keep"), ("events: 180, ", "extend"), ("format: parquet, ", "new")):
        events = "" if "events" in change else "events: 90, "
        path.write_text(f"{start}{events}{change}oversample: 3, analysis: {bundle}}}\n")
        rows = json.loads(_done("campaign", path, "--dry-run", "--json").stdout)["requests"]
        assert action in [row["action"] for row in rows]
    path.write_text(f"{start}analysis: reference}}\n")
    _refused(11, "requests.0.analysis: ", "campaign", path)


def test_parquet_where_it_cannot_be(
    bundle: Path, folder: Path, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = ("--input", folder / "full.root", "--primary", "Z", "--energy", 13, "--dry-run")
    _refused(2, "is of flat ntuples, with --analysis", "request", *source, "--format", "parquet")
    find = importlib.util.find_spec
    monkeypatch.setattr(
        "flashsim_prod.physics.analysis.parquet.find_spec",
        lambda name: None if name == "pyarrow" else find(name),
    )
    words = ("request", *source, "--analysis", bundle, "--format")
    _refused(2, "pip install 'flashsim-prod[parquet]'", *words, "parquet")
    assert not list(home.names())
    _done(*words, "root", "--yes")
