"""The fidelity report as one HTML page that needs nothing else: figures inline, no scripts, no network."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from flashsim_prod import resources
from flashsim_prod.files import write_whole
from flashsim_prod.physics.validation.drawing import plots
from flashsim_prod.physics.validation.models import whole_events as derived
from flashsim_prod.physics.validation.models.fidelity import is_discrete
from flashsim_prod.physics.validation.models.figures import (
    AUC_LIMITS,
    CHI2_LIMITS,
    Attribute,
    Fidelity,
    chi2_light,
)
from flashsim_prod.physics.validation.models.held_out import AXES
from flashsim_prod.physics.validation.models.report import Part, Report, WholePart
from flashsim_prod.physics.validation.statistics.distances import Curve, Measured

if TYPE_CHECKING:
    from jinja2 import Environment

PAGE_NAME = "index.html"


@dataclass(frozen=True)
class Section:
    """One object model on the page; images are data URLs.

    Attributes
    ----------
    attributes : list of (Attribute, image)
    correlations : str
        Heat map; empty without a property model.
    curves : list of (Curve, image)
        The calibration first.
    losses : list of (network, image)
    """

    fidelity: Fidelity
    attributes: list[tuple[Attribute, str]]
    correlations: str
    curves: list[tuple[Curve, str]]
    losses: list[tuple[str, str]]


def write_page(
    report: Report, folder: Path, progress: Callable[[str, int, int], None] = lambda stage, done, total: None
) -> Path:
    """Write ``index.html`` into `folder`, which must exist."""
    sections = []
    for number, part in enumerate(report.parts):
        progress("figures", number, len(report.parts))
        sections.append(_section(part, report.title))
    progress("figures", len(report.parts), len(report.parts))
    template = _environment().get_template("index.html.j2")
    text = template.render(
        report=report,
        figures=report.figures(),
        sections=sections,
        whole=[(part.derived, _whole_figure(part, report.title)) for part in report.whole],
        auc_limits=AUC_LIMITS,
        chi2_limits=CHI2_LIMITS,
        derived_limits=derived.LIMITS,
    )
    return write_whole(folder / PAGE_NAME, text)


def _environment() -> Environment:
    environment = resources.templates("report", are_pages=True)
    environment.filters.update(measured=measured, chi2_light=chi2_light)
    return environment


def measured(figure: Measured | None, digits: int = 3) -> str:
    """``0.612 ± 0.004``; a dash for what is not defined."""
    return "–" if figure is None else f"{figure.value:.{digits}f} ± {figure.error:.{digits}f}"


def _section(part: Part, title: str) -> Section:
    fidelity = part.fidelity
    attributes: list[tuple[Attribute, str]] = []
    correlations = ""
    if fidelity.properties is not None:
        attributes = [
            (attribute, _attribute_figure(part, attribute.name, title))
            for attribute in fidelity.properties.attributes
        ]
        found = fidelity.properties.correlations
        correlations = _image(plots.heat_map(np.array(found.difference), found.rows, found.columns))
    curves: list[tuple[Curve, str]] = []
    if fidelity.multiplicity is not None:
        number = "efficiency" if fidelity.multiplicity.most == 1 else f"{fidelity.produces} per source"
        deciles = fidelity.multiplicity.calibration
        curves = [(deciles, _image(plots.calibration(deciles, title=title, quantity=number)))]
        curves += [
            (
                curve,
                _image(plots.efficiency(curve, label=AXES[curve.axis], title=title, quantity=number)),
            )
            for curve in fidelity.multiplicity.curves
        ]
    losses = [
        (network, _image(plots.loss_curves(steps, network=network))) for network, steps in part.losses.items()
    ]
    return Section(fidelity, attributes, correlations, curves, losses)


def _attribute_figure(part: Part, name: str, title: str) -> str:
    held_out, drawn = part.samples.held_out[name], part.samples.drawn[name]
    return _image(plots.overlay(held_out, drawn, label=name, title=title, discrete=is_discrete(held_out)))


def _whole_figure(part: WholePart, title: str) -> str:
    is_number = bool(np.all(part.reference == np.round(part.reference)))
    return _image(
        plots.overlay(part.reference, part.drawn, label=part.quantity.label, title=title, discrete=is_number)
    )


def _image(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()
