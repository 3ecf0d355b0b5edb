"""The fidelity report on the terminal."""

from __future__ import annotations

from flashsim_prod.cli.show import console, table
from flashsim_prod.production.models.fidelity import EventVerdict, Fidelity, ModelVerdict, Ratio

_STYLES = {"green": "green", "amber": "yellow", "red": "red"}
_AXES = {"pt": "pt", "eta": "eta", "pileup_nPU": "pileup", "gen_ht": "HT", "predicted": "calibration"}


def print_fidelity(found: Fidelity) -> None:
    """A table of the models and one of whole events."""
    out = console()
    out.print(f"[bold]{found.bundle}[/bold] compared with {found.compared_with}", soft_wrap=True)
    _print_notes(found)
    numbers = ("OBJECTS", "W1", "AUC", "FLOOR")
    models = table(
        "MODEL", *numbers, "WORST", "CHI2", right=numbers, whole=("MODEL", "CHI2"), title="Object models"
    )
    for one in found.models:
        models.add_row(*_model_row(one))
    out.print(models)
    out.print(
        "W1: median over the attributes, in sigma; AUC: 0.5 is indistinguishable; "
        "CHI2: largest chi2/ndf of the numbers, and along which axis",
        soft_wrap=True,
    )
    out.print(
        f"{found.curves_above} of {found.curves} curves of numbers are above "
        f"{found.limit}; chance alone would put {found.above_by_chance} there",
        soft_wrap=True,
    )
    if found.whole:
        _print_events(found.whole)


def _print_notes(found: Fidelity) -> None:
    of_models = [f"{one.name}: {note}" for one in found.models for note in one.notes]
    for note in (*found.notes, *of_models):
        console().print(f"note: {note}", style="yellow", markup=False, soft_wrap=True)


def _print_events(found: tuple[EventVerdict, ...]) -> None:
    ratios = ("ENTRIES", "MEAN / REFERENCE", "WIDTH / REFERENCE")
    whole = table("QUANTITY", *ratios, right=ratios, title="Whole events")
    for one in found:
        name = _coloured(one.name, one.light)
        whole.add_row(name, f"{one.entries:,}", _measured(one.mean), _measured(one.width))
    console().print(whole)


def _model_row(one: ModelVerdict) -> list[str]:
    row = [_coloured(one.name, one.light)]
    if one.properties is None:
        row += ["-"] * 5
    else:
        found = one.properties
        row += [
            f"{found.objects:,}",
            f"{found.median_w1:.3f}",
            _coloured(f"{found.auc:.3f}", found.light),
            f"{found.floor:.3f}",
            found.worst,
        ]
    if one.numbers is None:
        return [*row, "-"]
    return [*row, _coloured(f"{one.numbers.chi2_per_ndf:.2f} {_AXES[one.numbers.axis]}", one.numbers.light)]


def _coloured(text: str, light: str) -> str:
    return f"[{_STYLES[light]}]{text}[/]"


def _measured(figure: Ratio | None) -> str:
    return "-" if figure is None else f"{figure.value:.3f}±{figure.error:.3f}"
