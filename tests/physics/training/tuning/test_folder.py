"""Tuned models in a work folder: what goes together, what is refused, and what a bundle says of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from flashsim_prod.errors import BundleError, FlashSimError, InputError, RequestError
from flashsim_prod.physics.chain.bundle import Bundle
from flashsim_prod.physics.chain.fitted import FittedModel
from flashsim_prod.physics.chain.model import Condition, ObjectModel, Target
from flashsim_prod.physics.chain.transforms import Gaussianiser, Standardiser
from flashsim_prod.physics.drawn_from import DrawnFrom
from flashsim_prod.physics.training.assemble import build_bundle, save_fitted
from flashsim_prod.physics.training.fit import fit_into_folder
from flashsim_prod.physics.training.optimise import FitSettings
from flashsim_prod.physics.training.record import FitRecord
from flashsim_prod.physics.training.table import Table
from flashsim_prod.physics.training.tuning import folder as tuning
from flashsim_prod.physics.training.tuning.folder import (
    begun_as,
    fit_of,
    is_there,
    refuse_others,
    tune_into_folder,
)
from flashsim_prod.physics.training.tuning.settings import TuneSettings
from tests.toy_models import toy_model

TOY = replace(toy_model(1), conditions=(Condition("a"),), targets=(Target("x"),))
OTHER = replace(TOY, name="other")
CALIBRATION = TuneSettings(is_calibration=True)


def _table(n: int = 60, **changes: object) -> Table:
    rng = np.random.default_rng(1)
    x = rng.normal(size=n)
    table = Table(x[:, None].astype(np.float32), np.ones(n, dtype=np.int64), np.arange(n), {"x": x + 3})
    return replace(table, **changes)  # type: ignore[arg-type]


def _bundle(folder: Path, name: str, *models: ObjectModel) -> Bundle:
    fits = {}
    for model in models:
        gaussianisers = (Gaussianiser.fit(np.random.default_rng(2).normal(size=500)),)
        fitted = FittedModel.untrained(model, Standardiser(np.zeros(1), np.ones(1)), gaussianisers)
        fits[model.name] = folder / name / model.name
        save_fitted(fitted, FitRecord(1, 1, FitSettings()), fits[model.name])
    return build_bundle(
        fits,
        folder / f"{name}.bundle",
        name=name,
        title="A toy",
        tag="Toy",
        training_sample=(f"made for {name}",),
    )


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> tuple[Bundle, Bundle]:
    folder = tmp_path_factory.mktemp("bases")
    return _bundle(folder, "first", TOY, OTHER), _bundle(folder, "second", TOY)


@pytest.fixture
def extracted(tmp_path: Path) -> Callable[..., Path]:
    """Puts a table into the work folder, which is returned."""

    def put(file: str = "real", model: ObjectModel = TOY, **changes: object) -> Path:
        path = tmp_path / "tables" / model.name / f"{file}.safetensors"
        path.parent.mkdir(parents=True, exist_ok=True)
        weight = changes.pop("weight", 1.0)
        source = DrawnFrom("real.root", "", 60, 60, 60, weight=weight)  # type: ignore[arg-type]
        _table(**changes).save(path, model, source)  # type: ignore[arg-type]
        return tmp_path

    return put


def test_an_entry_says_what_it_began_as_and_so_does_the_bundle(
    bases: tuple[Bundle, Bundle], extracted: Callable[..., Path], tmp_path: Path
) -> None:
    base, work = bases[0], extracted()
    tune_into_folder(TOY, work, base, CALIBRATION)
    fit = fit_of(work, TOY)
    assert fit is not None
    assert (fit["base"], fit["base_digest"], fit["done"]) == ("first", base.digest, "blended")
    (line,) = begun_as(work, ["toy"])
    assert base.digest[:12] in line
    assert "made for first" in line


def test_a_fit_is_kept_while_tables_and_settings_stay(
    bases: tuple[Bundle, Bundle], extracted: Callable[..., Path]
) -> None:
    base, work = bases[0], extracted()
    tune_into_folder(TOY, work, base, CALIBRATION)
    assert is_there(TOY, work, base, CALIBRATION)
    assert not is_there(TOY, work, base, TuneSettings())
    assert not is_there(TOY, work, bases[1], CALIBRATION)
    extracted("more")
    assert not is_there(TOY, work, base, CALIBRATION)


def test_a_killed_fit_leaves_what_was_there(
    bases: tuple[Bundle, Bundle], extracted: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    work = extracted()
    tune_into_folder(TOY, work, bases[0], CALIBRATION)
    before = {path: path.read_bytes() for path in (work / "fits").rglob("*") if path.is_file()}

    def killed(*args: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(tuning, "tune", killed)
    with pytest.raises(KeyboardInterrupt):
        tune_into_folder(TOY, work, bases[0], TuneSettings())
    assert {path: path.read_bytes() for path in (work / "fits").rglob("*") if path.is_file()} == before


def test_fits_of_another_base_are_neither_kept_nor_mixed(
    bases: tuple[Bundle, Bundle], extracted: Callable[..., Path]
) -> None:
    first, second = bases
    work = extracted()
    extracted(model=OTHER)
    tune_into_folder(OTHER, work, first, CALIBRATION)
    with pytest.raises(RequestError, match=r"began as bundle first .* not as second"):
        refuse_others([TOY], [TOY, OTHER], work, second, tuning=True)
    refuse_others([TOY], [TOY, OTHER], work, first, tuning=True)
    # were they made all the same, by two at once
    tune_into_folder(TOY, work, second, CALIBRATION)
    with pytest.raises(BundleError, match="began as several bundles"):
        begun_as(work, ["toy", "other"])
    with pytest.raises(BundleError, match="it is of another bundle"):
        begun_as(work, ["other"])


def test_fits_that_would_be_lost_are_refused(
    bases: tuple[Bundle, Bundle], extracted: Callable[..., Path]
) -> None:
    work = extracted(n=120)
    quick = TuneSettings(least_steps=2, steps_per_row=0.0)
    tune_into_folder(TOY, work, bases[0], quick)
    with pytest.raises(RequestError, match="fine-tuned already, which a calibration would undo"):
        refuse_others([TOY], [TOY], work, bases[0], tuning=False)
    refuse_others([TOY], [TOY], work, bases[0], tuning=True)
    fitted = FittedModel.untrained(
        OTHER, Standardiser(np.zeros(1), np.ones(1)), (Gaussianiser.fit(np.arange(9.0)),)
    )
    save_fitted(fitted, FitRecord(1, 1, FitSettings()), work / "fits" / "other")
    with pytest.raises(RequestError, match="a fit without a base"):
        refuse_others([TOY, OTHER], [TOY, OTHER], work, bases[0], tuning=True)


@pytest.mark.parametrize(
    ("tables", "error", "why"),
    [
        ([], InputError, "no training table of toy"),
        ([{"version": "v12"}], InputError, "is of NanoAOD v12, and bundle first was made for v9"),
        ([{"origin": "FlashSim"}], InputError, "of events that FlashSim made"),
        ([{}, {"origin": "reference detector"}], InputError, "cannot be brought near to both"),
        ([{"version": "v9"}, {"version": "v12"}], InputError, "fit each version in a --work of its own"),
    ],
)
def test_tables_that_do_not_go_together_or_with_the_base_are_refused(
    bases: tuple[Bundle, Bundle],
    extracted: Callable[..., Path],
    tmp_path: Path,
    tables: list[dict[str, str]],
    error: type[FlashSimError],
    why: str,
) -> None:
    for number, changes in enumerate(tables):
        extracted(f"file{number}", **changes)
    with pytest.raises(error, match=why):
        tune_into_folder(TOY, tmp_path, bases[0], CALIBRATION)
    assert not (tmp_path / "fits").exists()


def test_a_base_without_the_model_is_refused(
    bases: tuple[Bundle, Bundle], extracted: Callable[..., Path]
) -> None:
    work = extracted(model=OTHER)
    with pytest.raises(BundleError, match="bundle second has no model other to begin with"):
        tune_into_folder(OTHER, work, bases[1], CALIBRATION)


def test_a_fit_without_a_base_does_not_overlook_weights(extracted: Callable[..., Path]) -> None:
    work = extracted(weight=0.5)
    with pytest.raises(InputError, match="which only fits with --base know"):
        fit_into_folder(TOY, work, FitSettings())
