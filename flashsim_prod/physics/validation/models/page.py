"""The fidelity report as one HTML page that needs nothing else: figures inline, no scripts, no network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from flashsim_prod.physics.validation.drawing import pages, plots
from flashsim_prod.physics.validation.models import whole_events as derived
from flashsim_prod.physics.validation.models.fidelity import is_discrete
from flashsim_prod.physics.validation.models.figures import (
    AUC_LIMITS,
    CHI2_LIMITS,
    Attribute,
    ModelFidelity,
    chi2_light,
)
from flashsim_prod.physics.validation.models.held_out import AXES
from flashsim_prod.physics.validation.models.report import FidelityReport, Part, WholePart
from flashsim_prod.physics.validation.statistics.distances import Curve


@dataclass(frozen=True)
class ModelSection:
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

    fidelity: ModelFidelity
    attributes: list[tuple[Attribute, str]]
    correlations: str
    curves: list[tuple[Curve, str]]
    losses: list[tuple[str, str]]


def write_page(
    report: FidelityReport,
    folder: Path,
    progress: Callable[[str, int, int], None] = lambda stage, done, total: None,
    *,
    figures: bool = True,
) -> Path:
    """Write ``index.html`` into `folder`, which is made if need be; tables alone without `figures`."""
    sections = []
    for number, part in enumerate(report.parts if figures else ()):
        progress("figures", number, len(report.parts))
        sections.append(_section(part, report.title))
    if figures:
        progress("figures", len(report.parts), len(report.parts))
    else:
        sections = [ModelSection(part.fidelity, [], "", [], []) for part in report.parts]
    return pages.write_page(
        folder,
        "fidelity.html.j2",
        report=report,
        figures=report.figures(),
        sections=sections,
        whole=[(part.derived, _whole_figure(part, report.title) if figures else "") for part in report.whole],
        auc_limits=AUC_LIMITS,
        chi2_limits=CHI2_LIMITS,
        chi2_light=chi2_light,
        derived_limits=derived.LIMITS,
    )


def _section(part: Part, title: str) -> ModelSection:
    fidelity = part.fidelity
    attributes: list[tuple[Attribute, str]] = []
    correlations = ""
    if fidelity.properties is not None:
        attributes = [
            (attribute, _attribute_figure(part, attribute.name, title))
            for attribute in fidelity.properties.attributes
        ]
        found = fidelity.properties.correlations
        correlations = pages.image(plots.heat_map(np.array(found.difference), found.rows, found.columns))
    curves: list[tuple[Curve, str]] = []
    if fidelity.multiplicity is not None:
        number = "efficiency" if fidelity.multiplicity.most == 1 else f"{fidelity.produces} per source"
        deciles = fidelity.multiplicity.calibration
        curves = [(deciles, pages.image(plots.calibration(deciles, title=title, quantity=number)))]
        curves += [
            (
                curve,
                pages.image(plots.efficiency(curve, label=AXES[curve.axis], title=title, quantity=number)),
            )
            for curve in fidelity.multiplicity.curves
        ]
    losses = [
        (network, pages.image(plots.loss_curves(steps, network=network)))
        for network, steps in part.losses.items()
    ]
    return ModelSection(fidelity, attributes, correlations, curves, losses)


def _attribute_figure(part: Part, name: str, title: str) -> str:
    held_out, drawn = part.samples.held_out[name], part.samples.drawn[name]
    return pages.image(
        plots.overlay(held_out, drawn, label=name, title=title, discrete=is_discrete(held_out))
    )


def _whole_figure(part: WholePart, title: str) -> str:
    is_number = bool(np.all(part.reference == np.round(part.reference)))
    return pages.image(
        plots.overlay(part.reference, part.drawn, label=part.quantity.label, title=title, discrete=is_number)
    )
