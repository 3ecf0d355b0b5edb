"""An object model that has learned nothing but how attributes are distributed."""

from __future__ import annotations

from pathlib import Path

from flashsim_prod.physics.chain.registry import find_model
from flashsim_prod.physics.training.assemble import build_bundle, save_fitted
from flashsim_prod.physics.training.fit import untrained
from flashsim_prod.physics.training.optimise import FitSettings
from flashsim_prod.physics.training.record import FitRecord
from flashsim_prod.physics.training.tables import load_tables

MODEL = "jet_from_genjet"


def fit_nothing(work: Path, folder: Path) -> None:
    """Leave it in `folder`, for the tables in `work`."""
    model = find_model(MODEL)
    table = load_tables(work / "tables", model)
    record = FitRecord(len(table.number), len(table.row), FitSettings(), {"gan": [(0, 1.0, 1.0)]})
    save_fitted(untrained(model, table, 1, kind="gan"), record, folder)


def untaught_bundle(work: Path, folder: Path) -> str:
    """A bundle of it alone, called b, in `folder`."""
    fit_nothing(work, folder / "fit")
    about = {"name": "b", "title": "t", "tag": "T", "training_sample": ("s",)}
    return str(build_bundle({MODEL: folder / "fit"}, folder / "b", **about).path)
