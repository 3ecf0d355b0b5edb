"""The two analyses as a page and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flashsim_prod import __version__
from flashsim_prod.physics.validation.analyses import plots as analysis_plots
from flashsim_prod.physics.validation.analyses.comparison import (
    FLOW_LIMITS,
    SIGNAL_REGION,
    AnalysisComparison,
    Distribution,
)
from flashsim_prod.physics.validation.analyses.network import AREA_LIMITS
from flashsim_prod.physics.validation.analyses.selections import DNN
from flashsim_prod.physics.validation.dataset.figures import SHAPE_LIMITS, SIGNIFICANCE
from flashsim_prod.physics.validation.dataset.page import caption
from flashsim_prod.physics.validation.drawing import plots
from flashsim_prod.physics.validation.drawing.pages import image, write_figures, write_page
from flashsim_prod.physics.validation.models.figures import worst
from flashsim_prod.physics.validation.models.held_out import REFERENCE_DETECTOR
from flashsim_prod.physics.validation.statistics.distances import Measured

JSON_NAME = "analyses.json"


def figures(found: Sequence[AnalysisComparison]) -> dict[str, Any]:
    """The contents of ``analyses.json``."""
    return {
        "schema_version": 1,
        "software": f"flashsim-prod {__version__}",
        "light": worst([one.light for one in found]),
        "analyses": [_of_analysis(one) for one in found],
    }


def _of_analysis(one: AnalysisComparison) -> dict[str, Any]:
    return {
        "name": one.analysis.name,
        "light": one.light,
        "auc": {
            "flashsim": _pair(one.auc.sample),
            "reference": _pair(one.auc.reference),
            "difference": _pair(one.auc.difference),
            "light": one.auc.light,
        },
        "trained_on": one.trained_on,
        "processes": [
            {
                "title": process.title,
                "is_signal": process.is_signal,
                "gen_events": process.n_gen,
                "folds": process.folds,
                "flow": [
                    {
                        "cut": row.name,
                        "flashsim": _pair(row.sample),
                        "reference": _pair(row.reference),
                        "ratio": _pair(row.ratio) if row.ratio else None,
                        "light": row.light,
                    }
                    for row in process.flow
                ],
                "distributions": [_of_distribution(shown) for shown in process.distributions],
            }
            for process in one.processes
        ],
    }


def _pair(found: Measured) -> list[float]:
    return [found.value, found.error]


def _of_distribution(one: Distribution) -> dict[str, Any]:
    return {
        "feature": one.feature.name,
        "region": one.region,
        "entries": [len(one.sample), len(one.reference)],
        "wasserstein": one.wasserstein,
        "ks": one.ks,
        "chi2": one.test.chi2,
        "ndf": one.test.ndf,
        "p_value": one.test.p_value,
        "light": one.light,
    }


def write_analyses(found: Sequence[AnalysisComparison], folder: Path) -> Path:
    """Write ``analyses.json`` and ``index.html`` into `folder`; the path of the latter is returned."""
    write_figures(folder, JSON_NAME, figures(found))
    return write_page(
        folder,
        "analyses.html.j2",
        found=[
            (
                one,
                _network_figure(one),
                [(process, _images(process.distributions)) for process in one.processes],
            )
            for one in found
        ],
        light=worst([one.light for one in found]),
        flow_limits=FLOW_LIMITS,
        area_limits=AREA_LIMITS,
        shape_limits=SHAPE_LIMITS,
        significance=SIGNIFICANCE,
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        software=f"flashsim-prod {__version__}",
    )


def _network_figure(one: AnalysisComparison) -> str:
    """The network's output for all processes that have enough held-out events after the first cuts."""
    outputs = [
        (process.title, shown.sample, shown.reference)
        for process in one.processes
        for shown in process.distributions
        if shown.feature is DNN and shown.region != SIGNAL_REGION and shown.test.ndf
    ]
    return (
        image(analysis_plots.network_output(outputs, caption=caption(REFERENCE_DETECTOR))) if outputs else ""
    )


def _images(distributions: Sequence[Distribution]) -> list[tuple[Distribution, str]]:
    return [
        (
            one,
            image(
                plots.overlay_entries(
                    one.sample,
                    one.reference,
                    label=one.feature.label,
                    titles=(REFERENCE_DETECTOR, "FlashSim"),
                    discrete=False,
                    caption=caption(REFERENCE_DETECTOR),
                )
            ),
        )
        for one in distributions
        if one.test.ndf
    ]
