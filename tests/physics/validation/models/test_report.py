"""The report as a whole: models of the chain, a file of the reference detector, JSON, page and command."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch

from flashsim_prod.cli.main import main
from flashsim_prod.cli.models.fidelity import print_fidelity
from flashsim_prod.errors import InputError, NodeError, RequestError
from flashsim_prod.physics.chain.assessment import read_assessment
from flashsim_prod.physics.chain.bundle import Bundle
from flashsim_prod.physics.chain.fitted import FittedModel
from flashsim_prod.physics.chain.model import NetworkSize
from flashsim_prod.physics.chain.model_card import model_card
from flashsim_prod.physics.chain.registry import MODELS
from flashsim_prod.physics.chain.transforms import Gaussianiser, Standardiser
from flashsim_prod.physics.detector.reference import ReferenceDetector
from flashsim_prod.physics.event_range import EventRange
from flashsim_prod.physics.events import Events
from flashsim_prod.physics.folding import fold_events
from flashsim_prod.physics.nanoaod.reader import NanoFile
from flashsim_prod.physics.nanoaod.schema import Schema
from flashsim_prod.physics.nanoaod.writer import NanoWriter
from flashsim_prod.physics.training.assemble import build_bundle, save_fitted
from flashsim_prod.physics.training.optimise import FitSettings
from flashsim_prod.physics.training.record import FitRecord
from flashsim_prod.physics.training.tables import extract
from flashsim_prod.physics.validation.drawing import libraries
from flashsim_prod.physics.validation.models import report as reporting
from flashsim_prod.physics.validation.models.held_out import inspect, read_chunks, sample_title
from flashsim_prod.physics.validation.models.page import write_page
from flashsim_prod.physics.validation.models.report import (
    FidelityReport,
    Options,
    make_fidelity_report,
    write_json,
)
from flashsim_prod.production.models.fidelity import (
    FidelityOptions,
    WrittenReport,
    fidelity_of,
    report_fidelity,
)

V9 = Schema.load("v9")

#: jets, and what their conditions need
CHOSEN = [model for model in MODELS if model.produces in ("event scalars", "Jet")]
BROKEN = "jet_from_genjet"
SHIFTED = "qgl"
_SIZE = NetworkSize(width=8, blocks=1, time_frequencies=2, classifier=(4,))
_LOSSES = {"flow": [(100, 1.9, 1.8), (200, 1.2, 1.3)], "multiplicity": [(100, 0.7, 0.6), (200, 0.5, 0.5)]}
_DETECTOR = {"detector": "reference detector (a parametric stand-in, not FullSim)"}


@pytest.fixture(scope="module")
def reconstructed(gen) -> Events:
    """The sixty top quark pairs, ten times each."""
    numbering = {"run": 1, "first_event": 1, "first_lumi": 1, "gen_events_per_lumi": 500, "job_gen_first": 0}
    folds = fold_events(gen, oversample=10, gen_first=0, **numbering)
    return ReferenceDetector().simulate(folds, seed=3)


def _write(events: Events, path: Path, about: dict[str, str]) -> Path:
    with NanoWriter(path, schema=V9, provenance={"software": "test", **about}) as writer:
        writer.write(events)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("report")


@pytest.fixture(scope="module")
def file(reconstructed, folder) -> str:
    return str(_write(reconstructed, folder / "held_out.root", _DETECTOR))


def _untrained(model, events: Events) -> FittedModel:
    """Draws every attribute with its right distribution, whatever the source is: the velocity is zero."""
    table = extract(events, model)
    gaussianisers = tuple(Gaussianiser.fit(table.targets[target.name]) for target in model.targets)
    return FittedModel.untrained(model, Standardiser.fit(table.conditions), gaussianisers, size=_SIZE)


@pytest.fixture(scope="module")
def fits(reconstructed, folder) -> Path:
    torch.manual_seed(1)
    for model in CHOSEN:
        fitted = _untrained(model, reconstructed)
        if model.name == BROKEN:
            fitted = replace(
                fitted,
                gaussianisers=tuple(
                    Gaussianiser(one.cdf, one.value + (3 if target.name == SHIFTED else 0))
                    for target, one in zip(model.targets, fitted.gaussianisers, strict=True)
                ),
            )
        save_fitted(fitted, FitRecord(1, 1, FitSettings(), losses=_LOSSES), folder / "fits" / model.name)
    return folder / "fits"


@pytest.fixture(scope="module")
def bundle(fits, folder) -> Bundle:
    return build_bundle(
        {model.name: fits / model.name for model in CHOSEN},
        folder / "bundle",
        name="broken",
        title="Not trained at all",
        tag="Test",
        training_sample=("ttbar", "held_out"),
    )


@pytest.fixture(scope="module")
def report(bundle, file, fits) -> FidelityReport:
    return make_fidelity_report(bundle, [file], Options(max_rows=600, fits=fits))


@pytest.fixture(scope="module")
def figures(report, tmp_path_factory) -> dict:
    return json.loads(write_json(report, tmp_path_factory.mktemp("json") / "new").read_text())


def test_the_json_says_what_was_compared_with_what(figures, bundle):
    assert figures["schema_version"] == 1
    assert figures["bundle"]["digest"] == bundle.digest
    assert figures["compared_with"] == "reference detector"
    assert [file["name"] for file in figures["files"]] == ["held_out.root"]
    assert figures["sampling"] == {"solver": "midpoint", "evaluations": 8, "grid_power": 1.0}


def test_the_json_holds_every_model_and_attribute(figures, bundle):
    assert {one["name"] for one in figures["models"]} == set(bundle.manifest.models)
    for one in figures["models"]:
        entry = bundle.manifest.models[one["name"]]
        assert one["parameters"] == entry.parameters
        properties, numbers = one["properties"], one["multiplicity"]
        n = len(properties["attributes"])
        assert n == len({attribute["name"] for attribute in properties["attributes"]}) > 10
        for attribute in properties["attributes"]:
            assert {"name", "wasserstein", "ks", "chi2", "auc", "importance"} <= attribute.keys()
        for key in ("auc", "floor"):
            assert 0.3 < properties[key]["value"] <= 1
            assert 0 <= properties[key]["error"] < 0.05
        assert np.shape(properties["correlations"]["difference"]) == (n, n + len(entry.conditions))
        assert one["light"] in ("green", "amber", "red")
        if numbers is None:
            continue
        assert {curve["axis"] for curve in numbers["curves"]} in (
            {"pt", "eta", "pileup_nPU"},
            {"pileup_nPU", "gen_ht"},
        )
        assert numbers["calibration"]["chi2"]["ndf"] == len(numbers["calibration"]["rows"])


def test_the_shifted_attribute_is_the_worst(figures):
    broken = next(one for one in figures["models"] if one["name"] == BROKEN)
    assert broken["light"] == broken["properties"]["light"] == "red"
    worst = broken["properties"]["attributes"][0]
    assert worst["name"] == SHIFTED
    assert worst["wasserstein"] > 3
    assert worst["ks"] > 0.8
    # all others have their right distribution
    assert max(one["ks"] for one in broken["properties"]["attributes"][1:]) < 0.25
    summary = figures["summary"]
    assert summary["light"] == "red"
    assert summary["chi2_curves"] == sum(
        len(one["multiplicity"]["curves"]) for one in figures["models"] if one["multiplicity"]
    )
    assert 0 <= summary["chi2_above_limit"] <= summary["chi2_curves"]
    assert 0 < summary["chi2_above_limit_by_chance"] < summary["chi2_curves"] / 2
    assert summary["auc_largest"] == pytest.approx(broken["properties"]["auc"]["value"])


def test_whole_events_are_compared_as_far_as_the_bundle_goes(figures):
    found = {one["name"]: one for one in figures["derived"]}
    # no muons and no MET in this bundle
    assert (
        {"HT", "jets", "leading jet pt"}
        <= found.keys()
        <= {"HT", "jets", "b jets", "leading jet pt", "m(bb)"}
    )
    assert figures["events"] == 600
    assert found["HT"]["entries"] == [600, 600]
    drawn, reference = (one["value"] for one in found["HT"]["mean"])
    assert found["HT"]["mean_ratio"]["value"] == pytest.approx(drawn / reference)
    # about half of the jets are lost, whatever their pt, for want of training
    assert found["jets"]["mean_ratio"]["value"] < 0.9
    assert found["jets"]["light"] == "red"


def test_a_file_of_the_training_sample_is_noted(figures):
    assert "held_out.root" in figures["notes"][0]


def test_its_figures_go_into_a_manifest(report, figures, bundle, tmp_path):
    write_json(report, tmp_path / "report")
    given = {"name": "n", "title": "t", "tag": "T", "training_sample": (), "reports": [tmp_path / "report"]}
    made = build_bundle({}, tmp_path / "first", base=bundle, **given)
    assert made.digest != bundle.digest
    assert made.manifest.models == bundle.manifest.models
    (found,) = made.manifest.fidelity
    assert found.files == {"held_out.root": 600}
    assert found.command.startswith("flashsim-prod train report broken held_out.root --max-rows 600")
    for one in figures["models"]:
        kept = found.models[one["name"]]
        assert kept.auc == pytest.approx(one["properties"]["auc"]["value"], abs=1e-4)
        assert kept.auc_floor == pytest.approx(one["properties"]["floor"]["value"], abs=1e-4)
        assert kept.median_w1 == pytest.approx(one["properties"]["median_wasserstein"], abs=1e-4)
        curves = one["multiplicity"]["curves"] if one["multiplicity"] else ()
        assert kept.chi2_per_ndf == {
            curve["axis"]: pytest.approx(curve["chi2"]["chi2"] / curve["chi2"]["ndf"], abs=1e-3)
            for curve in curves
        }
    # the same report again takes the place of the first one
    again = build_bundle({}, tmp_path / "second", base=made, **given)
    assert again.manifest.fidelity == made.manifest.fidelity


def test_losses_belong_to_the_weights_of_the_bundle(report, bundle, fits, tmp_path):
    assert report.parts[0].losses == _LOSSES
    name = BROKEN
    (tmp_path / name).mkdir()
    entry = json.loads((fits / name / "entry.json").read_text())
    (tmp_path / name / "entry.json").write_text(json.dumps(entry | {"sha256": "0" * 64}))
    (tmp_path / name / "fit.json").write_text((fits / name / "fit.json").read_text())
    assert reporting._losses(tmp_path, name, bundle) == {}


class _Page(HTMLParser):
    """What a page refers to, and whether its elements are closed."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.tags: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attributes if name in ("src", "href")]
        if tag not in ("meta", "link", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def page(report, tmp_path_factory) -> str:
    """With three attributes of one model, for the time that figures take."""
    parts = [
        replace(
            part,
            fidelity=replace(
                part.fidelity,
                properties=replace(
                    part.fidelity.properties, attributes=part.fidelity.properties.attributes[:3]
                ),
            ),
        )
        for part in report.parts[1:2]
    ]
    target = tmp_path_factory.mktemp("page")
    return write_page(replace(report, parts=tuple(parts)), target).read_text()


def test_the_page_needs_nothing_but_itself(page, report):
    parsed = _Page()
    parsed.feed(page)
    assert not parsed.open
    assert "script" not in parsed.tags
    assert not re.search(r"https?:|//[a-z]|@import|url\(", re.sub(r"base64,[A-Za-z0-9+/=]+", "", page))
    assert all(link.startswith(("data:", "#")) for link in parsed.links)
    # attributes, correlations, curves, losses and whole events
    assert parsed.tags.count("img") == (3 + 1 + 4 + 2) + len(report.whole)


def test_the_page_says_what_the_json_says(page, figures):
    for one in (one for one in figures["models"] if one["name"] == BROKEN):
        assert f'id="{one["name"]}"' in page
        assert f"{one['properties']['auc']['value']:.3f} ± " in page
        assert f"{one['properties']['attributes'][0]['wasserstein']:.3f}" in page
    for one in figures["derived"]:
        assert f"{one['width_ratio']['value']:.3f} ± {one['width_ratio']['error']:.3f}" in page
    assert "held_out.root is named in the bundle&#39;s training sample" in page


def test_the_reference_detector_is_never_called_fullsim(page):
    assert "reference detector" in page
    assert "FullSim" not in page


def test_only_files_that_say_so_are_the_reference_detector_s(reconstructed, file, tmp_path):
    other = str(_write(reconstructed.slice(0, 20), tmp_path / "other.root", {}))
    assert sample_title([inspect(file)]) == "reference detector"
    assert sample_title([inspect(file), inspect(other)]) == "input NANOAOD"


def test_provenance_is_what_the_file_was_written_with(file):
    with NanoFile(file) as opened:
        assert opened.provenance() == {"software": ("test",), "detector": (_DETECTOR["detector"],)}


def test_output_of_flashsim_is_refused(reconstructed, tmp_path):
    made = _write(reconstructed.slice(0, 20), tmp_path / "made.root", {"bundle_digest": "0" * 64})
    with pytest.raises(InputError, match="FlashSim itself"):
        inspect(str(made))


def test_a_file_without_what_a_model_needs_is_named(bundle, reconstructed, tmp_path):
    lacking = Events(
        20,
        reconstructed.slice(0, 20).scalars,
        {name: one for name, one in reconstructed.slice(0, 20).collections.items() if name != "Jet"},
    )
    path = _write(lacking, tmp_path / "lacking.root", _DETECTOR)
    with pytest.raises(InputError, match=r"lacking\.root: jet.* no Jet; .*--model"):
        make_fidelity_report(bundle, [str(path)], Options())


def test_an_unknown_model_is_refused(bundle, file):
    with pytest.raises(RequestError, match="muonic"):
        make_fidelity_report(bundle, [file], Options(models=("muonic",)))


def test_events_of_two_files_are_different_events(file):
    numbers = [
        np.concatenate([events.scalars["FlashSim_genEvent"] for _, events in read_chunks(file, number, V9)])
        for number in (0, 1)
    ]
    assert len(np.unique(numbers[0])) == 60
    assert not np.intersect1d(*numbers).size


def _run(*arguments: str) -> int | str | None:
    with pytest.raises(SystemExit) as ended:
        main(["train", "report", *arguments])
    return ended.value.code


def test_the_command_prints_what_it_writes(monkeypatch, report, bundle, file, tmp_path, capsys):
    asked = []

    def known(*arguments: object) -> FidelityReport:
        asked.append(arguments)
        return replace(report, parts=())

    monkeypatch.setattr(reporting, "make_fidelity_report", known)
    out = tmp_path / "new" / "out"
    chosen = ("--model", "a", "--model", "b", "--max-rows", "1000", "--solver", "euler", "--evaluations", "4")
    assert _run(str(bundle.path), file, "--output", str(out), *chosen, "--device", "cpu", "--json") == 0
    assert json.loads(capsys.readouterr().out) == json.loads((out / "report.json").read_text())
    assert (out / "index.html").is_file()
    assert not list(out.glob(".*"))
    ((used, files, options, _),) = asked
    assert used.digest == bundle.digest
    assert files == [file]
    assert (options.models, options.max_rows) == (("a", "b"), 1000)
    assert (options.sampling.solver, options.sampling.evaluations) == ("euler", 4)


def test_the_table_names_models_quantities_and_notes(report, capsys):
    print_fidelity(fidelity_of(report))
    printed = capsys.readouterr().out
    assert "reference detector" in printed
    assert "leading jet pt" in printed
    assert "held_out.root is named" in printed
    assert f"{report.parts[0].fidelity.properties.auc.value:.3f}" in printed


def test_missing_libraries_are_one_line(monkeypatch, bundle, file, capsys):
    real = libraries.find_spec
    monkeypatch.setattr(libraries, "find_spec", lambda name: None if name == "mplhep" else real(name))
    assert _run(str(bundle.path), file) == NodeError.exit_code
    error = capsys.readouterr().err.strip()
    assert "mplhep" in error
    assert "pip install 'flashsim-prod[report]'" in error
    assert len(error.splitlines()) == 1


def test_bad_input_has_its_exit_code(bundle, tmp_path, capsys):
    assert _run(str(bundle.path), str(tmp_path / "none.root")) == InputError.exit_code
    assert "none.root" in capsys.readouterr().err


@pytest.fixture(scope="module")
def beside(bundle, reconstructed, folder) -> WrittenReport:
    """The bundle beside what says nothing of a detector, as FullSim does, before and after."""
    twice = reconstructed.take(np.flatnonzero(np.arange(reconstructed.n) % 5 == 0))
    file = str(_write(twice, folder / "real.root", {}))
    options = FidelityOptions(
        max_rows=1000, is_fullsim=True, before=str(bundle.path), events="20%:", figures=False
    )
    return report_fidelity(
        str(bundle.path), [file], folder / "beside", options, work=folder, progress=lambda *now: None
    )


def test_beside_fullsim_whole_events_and_collections_are_told_apart(beside, bundle):
    figures = beside.figures
    told = figures["against"]["told_apart"]
    assert told.keys() == {"whole events", "Jet", "OtherPV"}
    assert figures["compared_with"] == "FullSim"
    # the shifted attribute is seen, and the same before, as it is the same bundle
    assert told["Jet"]["auc"] > 0.95
    assert told["Jet"]["auc_before"] == told["Jet"]["auc"]
    assert 0.3 < told["Jet"]["auc_floor"] < 0.7
    assert told["whole events"]["rows"] == 96
    assert "Jet" in figures["against"]["after"]["red"]
    jets = figures["assessment"]["models"][BROKEN]
    assert jets["auc_before"] == jets["auc"]
    assert figures["assessment"]["events"] == "20%:"
    assert "--against real.root --events 20%:" in figures["command"]
    page = beside.page.read_text()
    assert "Beside FullSim" in page
    assert "data:image" not in page


def test_what_is_told_apart_comes_into_card_and_bundle(beside, bundle, folder, capsys):
    recorded = build_bundle(
        {},
        folder / "recorded",
        name="x",
        title="x",
        tag="X",
        training_sample=(),
        base=bundle,
        reports=[beside.page.parent],
    )
    card = model_card(recorded)
    assert "### Told apart from FullSim: real.root (120 events), of each 20%:" in card
    assert "which the models began as" in card
    assert "| whole events | 96 |" in card
    print_fidelity(beside.fidelity)
    assert "groups of attributes: " in capsys.readouterr().out
    # a bundle with another model has no such whole events
    path = beside.page.parent / "report.json"
    other = json.loads(path.read_text())
    other["weights"]["met"] = "0" * 64
    (folder / "other.json").write_text(json.dumps(other))
    with pytest.raises(InputError, match="whole events are of other models"):
        read_assessment(folder / "other.json", {n: e.drawn_by for n, e in bundle.manifest.models.items()})


def test_events_that_were_learned_from_are_told(bundle, reconstructed, folder):
    file = str(_write(reconstructed.slice(0, 20), folder / "known.root", _DETECTOR))
    known = replace(
        bundle, manifest=bundle.manifest.model_copy(update={"training_sample": ("known, events 0:50%",)})
    )
    for event_range, is_told in ((":5", True), ("10:", False)):
        options = Options(models=("jet_from_pileup",), event_range=EventRange.parse(event_range))
        notes = make_fidelity_report(known, [file], options).notes
        assert any("its events are not held out" in note for note in notes) is is_told
