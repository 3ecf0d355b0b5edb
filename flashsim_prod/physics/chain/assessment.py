"""What a manifest says of how close its models came to events that they were not trained on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from pydantic import Field

from flashsim_prod.core.request import Sampling
from flashsim_prod.core.strict import StrictModel
from flashsim_prod.errors import ConfigError, InputError
from flashsim_prod.files import read_text

#: name of a fidelity report's file of figures
REPORT_NAME = "report.json"


class ModelFigures(StrictModel):
    """How close one object model came; what could not be measured, for want of objects, is None."""

    objects: int | None = Field(default=None, ge=0, description="held-out objects compared")
    auc: float | None = Field(default=None, description="of a classifier: 0.5 is indistinguishable")
    auc_error: float | None = None
    auc_floor: float | None = Field(default=None, description="the same between two reference samples")
    median_w1: float | None = Field(default=None, description="1-Wasserstein, in standard deviations")
    worst_attribute: str | None = None
    sources: int | None = Field(default=None, ge=0, description="held-out sources, for the numbers")
    chi2_per_ndf: dict[str, float] = Field(default_factory=dict, description="of the numbers, along axes")


class Assessment(StrictModel):
    """One fidelity report on models of the bundle, of the very weights that the manifest names."""

    made: datetime
    software: str
    command: str = Field(description="makes the report again, in the folder of the files")
    compared_with: str
    files: dict[str, int] = Field(description="held-out files, with the events of each")
    max_rows: int
    seed: int
    sampling: Sampling
    models: dict[str, ModelFigures]


def read_assessment(path: Path, weights: Mapping[str, str]) -> Assessment:
    """What a fidelity report found, for a manifest of the very weights that it measured.

    Parameters
    ----------
    path : Path
        ``report.json``, or its folder.
    weights : mapping of str to str
        sha256 of each model's weights.

    Raises
    ------
    InputError
        If the file is no such report, or measured other weights.
    """
    path = path / REPORT_NAME if path.is_dir() else path
    try:
        report = json.loads(read_text(path))
        measured: dict[str, str] = report["weights"]
        found = Assessment.from_mapping(report["assessment"], str(path))
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, ConfigError) as error:
        raise InputError(f"{path}: no report of 'flashsim-prod train report' ({error})") from error
    for model in found.models:
        if measured.get(model) != weights.get(model):
            raise InputError(
                f"{path}: its figures of {model} are not of the weights in this bundle; make a report on it"
            )
    return found
