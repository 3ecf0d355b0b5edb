"""What a manifest says of how close its models came to events that they were not trained on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from flashsim_prod.core.request import Sampling
from flashsim_prod.core.strict import StrictModel
from flashsim_prod.errors import ConfigError, InputError
from flashsim_prod.files import read_text

#: name of a fidelity report's file of figures
REPORT_NAME = "report.json"


#: what manifests do not say where there is nothing to say: they were written before there was any
_NEWER = ("auc_before", "told_apart", "groups", "before", "events", "detector")


class _Sparing(StrictModel):
    """Written without those of its figures that are newer than bundles, where there are none."""

    @model_serializer(mode="wrap")
    def _written(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        found: dict[str, Any] = handler(self)
        return {
            name: value for name, value in found.items() if name not in _NEWER or value not in (None, {}, "")
        }


class ModelFigures(_Sparing):
    """How close one object model came; what could not be measured, for want of objects, is None."""

    objects: int | None = Field(default=None, ge=0, description="held-out objects compared")
    auc: float | None = Field(default=None, description="of a classifier: 0.5 is indistinguishable")
    auc_error: float | None = None
    auc_floor: float | None = Field(default=None, description="the same between two reference samples")
    auc_before: float | None = Field(default=None, description="that of the bundle that it began as")
    median_w1: float | None = Field(default=None, description="1-Wasserstein, in standard deviations")
    worst_attribute: str | None = None
    sources: int | None = Field(default=None, ge=0, description="held-out sources, for the numbers")
    chi2_per_ndf: dict[str, float] = Field(default_factory=dict, description="of the numbers, along axes")


class AreaFigures(_Sparing):
    """How well whole events, or the objects of a collection, are told from those of FullSim."""

    rows: int = Field(ge=0, description="events or objects of FullSim")
    auc: float = Field(description="of a classifier: 0.5 is indistinguishable")
    auc_error: float
    auc_floor: float = Field(description="the same between two halves of FullSim")
    auc_before: float | None = Field(default=None, description="of the bundle that it began as")


class Assessment(_Sparing):
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
    events: str = Field(default="", description="which events of each file, if not all")
    before: str = Field(default="", description="what was measured before, the bundle that models began as")
    told_apart: dict[str, AreaFigures] = Field(
        default_factory=dict, description="whole events and collections, where files are FullSim"
    )
    groups: dict[str, int] = Field(default_factory=dict, description="how many are green, amber and red")
    detector: str = Field(default="", description="digest of the reference detector, if files are of it")


#: what is told apart, beside collections
WHOLE_EVENTS = "whole events"


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
    if found.told_apart and measured.keys() != weights.keys():
        raise InputError(
            f"{path}: its figures of whole events are of other models than these; make a report on it"
        )
    for model in found.models:
        if measured.get(model) != weights.get(model):
            raise InputError(
                f"{path}: its figures of {model} are not of the weights in this bundle; make a report on it"
            )
    return found
