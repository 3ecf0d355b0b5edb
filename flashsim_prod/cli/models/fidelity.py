"""The fidelity report on the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flashsim_prod.cli.show import console, table

if TYPE_CHECKING:
    from flashsim_prod.physics.validation.models.figures import Fidelity, Light
    from flashsim_prod.physics.validation.models.report import Report
    from flashsim_prod.physics.validation.statistics.distances import Measured

_STYLES = {"green": "green", "amber": "yellow", "red": "red"}
_AXES = {"pt": "pt", "eta": "eta", "pileup_nPU": "pileup", "gen_ht": "HT", "predicted": "calibration"}


def print_report(report: Report) -> None:
    """A table of the models and one of whole events."""
    out = console()
    out.print(f"[bold]{report.bundle.name}[/bold] compared with {report.title}", soft_wrap=True)
    for note in report.notes:
        out.print(f"note: {note}", style="yellow", markup=False, soft_wrap=True)
    numbers = ("OBJECTS", "W1", "AUC", "FLOOR")
    models = table(
        "MODEL", *numbers, "WORST", "CHI2", right=numbers, whole=("MODEL", "CHI2"), title="Object models"
    )
    for part in report.parts:
        models.add_row(*_model_row(part.fidelity))
    out.print(models)
    out.print(
        "W1: median over the attributes, in sigma; AUC: 0.5 is indistinguishable; "
        "CHI2: largest chi2/ndf of the numbers, and along which axis",
        soft_wrap=True,
    )
    summary = report.summary()
    out.print(
        f"{summary['chi2_above_limit']} of {summary['chi2_curves']} curves of numbers are above "
        f"{summary['chi2_limits'][0]}; chance alone would put {summary['chi2_above_limit_by_chance']} there",
        soft_wrap=True,
    )
    if not report.whole:
        return
    ratios = ("ENTRIES", "MEAN / REFERENCE", "WIDTH / REFERENCE")
    whole = table("QUANTITY", *ratios, right=ratios, title="Whole events")
    for one in (part.derived for part in report.whole):
        name = _coloured(one.name, one.light)
        whole.add_row(name, f"{one.entries[0]:,}", _measured(one.mean_ratio), _measured(one.width_ratio))
    out.print(whole)


def _model_row(one: Fidelity) -> list[str]:
    row = [_coloured(one.name, one.light)]
    if one.properties is None:
        row += ["-"] * 5
    else:
        found = one.properties
        row += [
            f"{found.objects:,}",
            f"{found.median_wasserstein:.3f}",
            _coloured(f"{found.auc.value:.3f}", found.light),
            f"{found.floor.value:.3f}",
            found.attributes[0].name,
        ]
    if one.multiplicity is None:
        return [*row, "-"]
    largest = one.multiplicity.worst_curve
    return [*row, _coloured(f"{largest.chi2.per_ndf:.2f} {_AXES[largest.axis]}", one.multiplicity.light)]


def _coloured(text: str, light: Light) -> str:
    return f"[{_STYLES[light]}]{text}[/]"


def _measured(figure: Measured | None) -> str:
    return "-" if figure is None else f"{figure.value:.3f}±{figure.error:.3f}"
