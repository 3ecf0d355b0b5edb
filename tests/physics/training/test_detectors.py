"""Files, tables, fits and bundles of several reference detectors are told apart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import pytest
from safetensors import safe_open
from typer.testing import CliRunner

from flashsim_prod.cli.main import app
from flashsim_prod.errors import InputError
from flashsim_prod.physics.chain.bundle import Bundle, load_bundle
from flashsim_prod.physics.chain.detectors import DETECTOR_KEY, LEARNED_FROM, detector_of_file, together
from flashsim_prod.physics.chain.fitted import FittedModel
from flashsim_prod.physics.chain.model_card import model_card
from flashsim_prod.physics.chain.registry import find_model
from flashsim_prod.physics.chain.transforms import Gaussianiser, Standardiser
from flashsim_prod.physics.events import Events
from flashsim_prod.physics.nanoaod.reader import NanoFile
from flashsim_prod.physics.nanoaod.schema import Schema
from flashsim_prod.physics.nanoaod.writer import NanoWriter
from flashsim_prod.physics.training import fit, table
from flashsim_prod.physics.training.assemble import (
    build_bundle,
    detector_of_fit,
    fits_unlike_tables,
    save_fitted,
)
from flashsim_prod.physics.training.drawn import (
    refuse_other_detector,
    refuse_other_era,
    refuse_other_version,
    told_mixtures,
    told_origins,
)
from flashsim_prod.physics.training.fit import fit_into_folder
from flashsim_prod.physics.training.optimise import FitSettings
from flashsim_prod.physics.training.record import FitRecord
from flashsim_prod.physics.training.table import Table, detector_of_table
from flashsim_prod.physics.training.tables import extract_file, load_tables
from flashsim_prod.physics.training.tuning.folder import base_unlike_tables, tune_into_folder
from flashsim_prod.physics.training.tuning.settings import TuneSettings
from flashsim_prod.physics.validation.dataset.years import Years, differences, years_of
from flashsim_prod.physics.validation.models.held_out import HeldOutFile, of_other_detector
from flashsim_prod.production.home import Home
from flashsim_prod.production.job.simulate import provenance
from flashsim_prod.production.models import bundles
from flashsim_prod.production.models.assembling import assemble_bundle
from flashsim_prod.production.models.contents import BundleContents, look_into
from flashsim_prod.production.models.drawing import Portion, words_of
from flashsim_prod.production.models.fitting import FitDisplay, FitOptions, fit_all_models
from tests.toy_models import toy_model

OLD, NEW = "0" * 12, "1" * 12
OF_NEW = Years("v9", "UL18", True, NEW)
MET = find_model("met")
TOY = toy_model(1)
OTHER = replace(TOY, name="other")
CALIBRATION = TuneSettings(is_calibration=True)

Written = Callable[[str, str], str]


@pytest.fixture(scope="module")
def events(gen: Events, reconstruct: Callable[..., Events]) -> Events:
    return reconstruct(gen.slice(0, 20), 1, seed=3)


@pytest.fixture
def written(events: Events, tmp_path: Path) -> Written:
    """A file of the reference detector, of a digest or of none; of FullSim, if it says nothing at all."""

    def write(name: str, digest: str | None) -> str:
        about = {} if digest is None else {"detector": "reference detector (not FullSim)"}
        about |= {DETECTOR_KEY: digest} if digest else {}
        path = tmp_path / f"{name}.root"
        with NanoWriter(path, schema=Schema.load("v9"), provenance={**about, "name": name}) as writer:
            writer.write(events)
        return str(path)

    return write  # type: ignore[return-value]


def _table(n: int = 1200, *, seed: int = 1) -> Table:
    rng = np.random.default_rng(seed)
    targets = {"x": rng.normal(size=n), "flag": rng.integers(0, 2, n)}
    return Table(rng.normal(size=(n, 2)).astype(np.float32), np.ones(n, np.int64), np.arange(n), targets)


def _tables(work: Path, model: str, *digests: str, **changes: object) -> None:
    folder = work / "tables" / model
    folder.mkdir(parents=True, exist_ok=True)
    for number, digest in enumerate(digests):
        table = replace(_table(), detector=digest, origin="reference detector", **changes)
        table.save(folder / f"{number}.safetensors")


def _fits(work: Path, **digests: str) -> dict[str, Path]:
    fits = {name: work / "fits" / name for name in digests}
    for name, digest in digests.items():
        model, scale = replace(TOY, name=name), Standardiser(np.zeros(2), np.ones(2))
        fitted = FittedModel.untrained(model, scale, (Gaussianiser.fit(np.arange(9.0)),) * 2)
        save_fitted(
            fitted, FitRecord(1, 1, FitSettings(), {"flow": [(0, 1.0, 1.0)]}, detector=digest), fits[name]
        )
    return fits


def _bundle(folder: Path, **digests: str) -> Bundle:
    target = folder / "bundle"
    about = {"name": "mine", "title": "A toy", "tag": "Toy", "training_sample": ("toys",)}
    return build_bundle(_fits(folder, **digests), target, **about)  # type: ignore[arg-type]


def test_what_a_file_says_its_table_remembers_and_none_is_mixed(written: Written, tmp_path: Path) -> None:
    tables = tmp_path / "tables"

    def extract(url: str, *, mixed: bool = False) -> str:
        list(extract_file(url, [MET], tables, mixed=mixed))
        return detector_of_table(tables / "met" / f"{Path(url).stem}.safetensors")

    assert extract(written("a", NEW)) == NEW
    assert extract(written("again", NEW)) == NEW
    # FullSim has none, and what was made before files said it is not known: neither is held against anything
    assert extract(written("fullsim", None)) == ""  # type: ignore[arg-type]
    assert told_mixtures(tables, [MET]) == []
    assert extract(written("before", "")) == ""
    assert told_mixtures(tables, [MET]) == [
        f"tables of several reference detectors ({NEW}, not recorded) in {tables}: met"
    ]
    assert load_tables(tables, MET).detector == ""
    other = written("b", OLD)
    with pytest.raises(InputError, match=rf"b\.root is of reference detector {OLD}, and .*met.* of {NEW}"):
        extract(other)
    assert not (tables / "met" / "b.safetensors").exists()
    assert extract(other, mixed=True) == OLD
    assert load_tables(tables, MET).is_mixed


def test_a_file_that_is_merged_of_several_is_not_extracted(tmp_path: Path) -> None:
    assert detector_of_file({DETECTOR_KEY: (NEW, NEW)}) == NEW
    digest = detector_of_file({DETECTOR_KEY: (NEW, OLD)})
    with pytest.raises(InputError, match=f"merged of files of several reference detectors, {OLD} and {NEW}"):
        refuse_other_detector(tmp_path, [MET], "merged.root", digest)
    # what FlashSim made of such a file is not of the detector
    assert detector_of_file({DETECTOR_KEY: (NEW,), "bundle_digest": ("2",)}) == ""


def test_of_several_each_counts_once_and_one_that_is_not_known_makes_all_unknown() -> None:
    assert together([NEW, f"{OLD} and {NEW}", OLD]) == f"{OLD} and {NEW}"
    assert together([NEW, ""]) == together([]) == ""


def test_no_fit_learns_from_several_that_nobody_mixed(tmp_path: Path) -> None:
    _tables(tmp_path, "toy", OLD, NEW)
    with pytest.raises(InputError, match=f"is of reference detector {OLD} and .* of {NEW}; extract each"):
        load_tables(tmp_path / "tables", TOY)
    _tables(tmp_path, "toy", OLD, NEW, is_mixed=True)
    assert load_tables(tmp_path / "tables", TOY).detector == f"{OLD} and {NEW}"


def test_a_fit_remembers_what_it_learned_from_and_what_it_went_on_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fit, "draw_losses", lambda record, folder: None)
    few = FitSettings(flow_steps=2, multiplicity_steps=2)
    _tables(tmp_path, "toy", OLD)
    fit_into_folder(TOY, tmp_path, few)
    folder = tmp_path / "fits" / "toy"
    assert detector_of_fit(folder) == OLD
    assert fits_unlike_tables(tmp_path) == []
    _tables(tmp_path, "toy", NEW)
    (line,) = fits_unlike_tables(tmp_path)
    assert f"toy in {tmp_path / 'fits'} learned from reference detector {OLD}, and the tables" in line
    assert line.endswith(f"are of {NEW}")
    fit_into_folder(TOY, tmp_path, few, further=True)
    assert detector_of_fit(folder) == f"{OLD} and {NEW}"


def test_the_head_of_a_table_is_read_once_while_it_stays_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables, opened = tmp_path / "tables", []

    def counted(path: Path, **options: Any) -> Any:
        opened.append(path)
        return safe_open(path, **options)

    _tables(tmp_path, "toy", NEW, NEW)
    monkeypatch.setattr(table, "safe_open", counted)
    for _ in range(3):
        refuse_other_version(tables, [TOY], "a.root", "v9")
        refuse_other_era(tables, [TOY], "a.root", "UL18", "")
        refuse_other_detector(tables, [TOY], "a.root", NEW)
        told_origins(tables, [TOY])
    assert len(opened) == 2
    _tables(tmp_path, "toy", OLD)
    with pytest.raises(InputError, match=f"of reference detector {NEW}, and .* of {OLD}"):
        refuse_other_detector(tables, [TOY], "a.root", NEW)


def test_what_was_begun_on_other_tables_is_not_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fit, "draw_losses", lambda record, folder: None)
    few = FitSettings(flow_steps=2, multiplicity_steps=2)

    def interrupted(fitted: object, record: object, folder: Path) -> None:
        raise KeyboardInterrupt

    _tables(tmp_path, "toy", OLD)
    with monkeypatch.context() as patched:
        patched.setattr(fit, "leave_fit", interrupted)
        with pytest.raises(KeyboardInterrupt):
            fit_into_folder(TOY, tmp_path, few)
    # as many objects, and the same numbers: only the detector is another one
    _tables(tmp_path, "toy", NEW)
    with pytest.raises(InputError, match="checkpoint of a fit with other settings or events"):
        fit_into_folder(TOY, tmp_path, few)
    _tables(tmp_path, "toy", OLD)
    fit_into_folder(TOY, tmp_path, few)
    assert detector_of_fit(tmp_path / "fits" / "toy") == OLD


def test_a_fit_to_fullsim_and_to_what_stands_for_it_is_told_of(tmp_path: Path) -> None:
    _tables(tmp_path, "toy", OLD)
    _tables(tmp_path, "other", OLD)
    tables = tmp_path / "tables"
    assert told_origins(tables, [TOY, OTHER]) == []
    _table().save(tables / "toy" / "z_fullsim.safetensors")
    assert told_origins(tables, [TOY, OTHER]) == [
        f"tables of FullSim and of reference detector in {tables}, and what learns from both is like "
        "neither: toy"
    ]


def test_models_of_a_bundle_say_theirs_and_mixtures_are_told(tmp_path: Path) -> None:
    bundle = _bundle(tmp_path, toy=OLD, other=NEW, third="")
    found = look_into(str(bundle.path))
    assert isinstance(found, BundleContents)
    assert found.detectors == (f"{NEW} (other)", "not recorded (third)", f"{OLD} (toy)")
    assert f"| Reference detector | {NEW} (other); not recorded (third); {OLD} (toy) |" in model_card(bundle)
    _tables(tmp_path, "toy", NEW)
    made = assemble_bundle(tmp_path, tmp_path / "new")
    several, unlike = made.mixtures
    assert several.endswith(f"learned from several reference detectors, {NEW}: other; {OLD}: toy")
    assert f"the tables in {tmp_path / 'tables'} are of {NEW}" in unlike


def test_a_bundle_that_is_completed_by_one_of_another_detector_is_told_of(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # toys run in no chain
    monkeypatch.setattr(bundles, "_refuse_what_cannot_run", lambda bundle: None)
    own, base = _bundle(tmp_path / "own", toy=OLD), _bundle(tmp_path / "base", toy=NEW, other=NEW)
    words = ["bundle", "import", str(own.path), "--base", str(base.path)]
    told = CliRunner().invoke(app, words, catch_exceptions=False)
    assert told.stderr == (
        f"warning: mine: its models learned from several reference detectors, {NEW}: other; {OLD}: toy\n"
    )
    assert "imported, 2 models" in told.stdout


def test_where_nothing_is_recorded_nothing_is_said(tmp_path: Path) -> None:
    bundle = _bundle(tmp_path, toy="", other="")
    _tables(tmp_path, "toy", NEW)
    found = look_into(str(bundle.path))
    assert isinstance(found, BundleContents)
    assert found.detectors == ("not recorded",)
    assert "Reference detector" not in model_card(bundle)
    assert assemble_bundle(tmp_path, tmp_path / "new").mixtures == ()
    assert base_unlike_tables(bundle, ["toy"], tmp_path / "tables") == []
    assert of_other_detector(HeldOutFile("held_out.root", 1, "", OF_NEW), bundle) == []


def test_a_base_is_held_to_tables_of_another_and_both_are_remembered(tmp_path: Path) -> None:
    base = _bundle(tmp_path / "base", toy=OLD)
    _tables(tmp_path, "toy", NEW)
    (line,) = base_unlike_tables(base, ["toy"], tmp_path / "tables")
    assert line.startswith(f"toy of bundle mine learned from reference detector {OLD}, and the tables in ")
    tune_into_folder(TOY, tmp_path, base, CALIBRATION)
    assert detector_of_fit(tmp_path / "fits" / "toy") == f"{OLD} and {NEW}"


def test_held_out_files_of_another_are_not_to_agree(tmp_path: Path) -> None:
    bundle = _bundle(tmp_path, **dict.fromkeys("abcde", OLD), f=NEW)
    file = HeldOutFile("ttbar.root", 1, "reference detector", OF_NEW)
    assert of_other_detector(file, bundle) == [
        f"a, b, c and 2 others of bundle mine learned from reference detector {OLD}, and ttbar.root is of "
        f"{NEW}: they are not to agree"
    ]
    assert of_other_detector(replace(file, years=replace(OF_NEW, detector="")), bundle) == []


def test_a_dataset_beside_a_reference_of_another_is_not_to_agree(written: Written) -> None:
    with NanoFile(written("reference", NEW)) as file:
        reference = years_of(file)
        assert reference.detector == NEW
        # as a dataset of FlashSim says it
        about = {"software": "flashsim-prod 1", "bundle_digest": "2", LEARNED_FROM: OLD}
        file.provenance = lambda: {key: (text,) for key, text in about.items()}  # type: ignore[method-assign]
        dataset = years_of(file)
    assert list(differences(dataset, reference, ())) == [
        f"the dataset is of reference detector {OLD}, the reference of {NEW}: they are not to agree"
    ]
    assert list(differences(replace(dataset, detector=""), reference, ())) == []
    assert list(differences(replace(dataset, detector=NEW), reference, ())) == []


def test_a_dataset_says_what_its_models_learned_from(tmp_path: Path) -> None:
    asked = {"energy_tev": 13.0, "analysis": None, "nano": "v9", "keep_unrefined": False, "extends": None}
    request = MagicMock(**asked, **{"source.contents.return_value": {}, "site.resources.gpu_half": False})
    told = [
        provenance(request, _bundle(tmp_path / number, **digests)).get(LEARNED_FROM)
        for number, digests in (
            ("all", {"toy": OLD, "other": NEW}),
            ("some", {"toy": OLD, "other": ""}),
            ("none", {"toy": ""}),
        )
    ]
    assert told == [f"{OLD} and {NEW}", None, None]


def test_fits_that_are_kept_are_told_if_tables_are_of_another(tmp_path: Path) -> None:
    _fits(tmp_path, met=OLD)
    _tables(tmp_path, "met", NEW)
    told: list[str] = []

    class Told(FitDisplay):
        def remark(self, line: str) -> None:
            told.append(line)

    fit_all_models(tmp_path, FitOptions(), Told())
    (line,) = told
    assert line.startswith(f"warning: met in {tmp_path / 'fits'} learned from reference detector {OLD}, and ")
    assert line.endswith("train fit MODEL --anew")


def test_jobs_of_a_site_are_told_that_files_are_mixed(tmp_path: Path) -> None:
    assert "--mixed" in words_of(Portion("a.root", mixed=True), tmp_path)
    assert "--mixed" not in words_of(Portion("a.root"), tmp_path)


def test_a_bundle_of_before_loads_as_it_is(tmp_path: Path) -> None:
    bundle = _bundle(tmp_path, toy="")
    assert DETECTOR_KEY not in (bundle.path / "manifest.json").read_text()
    assert load_bundle(bundle.path).digest == bundle.digest
