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
    before = ("BEFORE",) if found.begun_as else ()
    numbers = ("OBJECTS", "W1", *before, "AUC", "FLOOR")
    models = table(
        "MODEL", *numbers, "WORST", "CHI2", right=numbers, whole=("MODEL", "CHI2"), title="Object models"
    )
    for one in found.models:
        models.add_row(*_model_row(one, bool(before)))
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
    for one in found.models:
        if one.sets:
            _print_sets(one)
    if found.whole:
        _print_events(found.whole)
    if found.told:
        _print_told(found)


def _print_notes(found: Fidelity) -> None:
    of_models = [f"{one.name}: {note}" for one in found.models for note in one.notes]
    for note in (*found.notes, *of_models):
        console().print(f"note: {note}", style="yellow", markup=False, soft_wrap=True)


def _print_sets(one: ModelVerdict) -> None:
    """Distances of sets: Wasserstein's, and those of arXiv:2211.10295."""
    numbers = ("DISTANCE", "FLOOR")
    listing = table("OF", *numbers, right=numbers, title=f"Sets of {one.name}, {one.n_sets:,}")
    for each in one.sets:
        error = f"±{each.error:.1e}" if each.error else ""
        listing.add_row(each.name, f"{each.value:.2e}{error}", f"{each.floor:.2e}")
    console().print(listing)
    told = "Wasserstein distances, jets in relative coordinates: pt over the jet's, directions from its axis"
    console().print(f"{told}; EFPs in units of their means; FLOOR: of two halves", soft_wrap=True)


def _print_events(found: tuple[EventVerdict, ...]) -> None:
    ratios = ("ENTRIES", "MEAN / REFERENCE", "WIDTH / REFERENCE")
    whole = table("QUANTITY", *ratios, right=ratios, title="Whole events")
    for one in found:
        name = _coloured(one.name, one.light)
        whole.add_row(name, f"{one.entries:,}", _measured(one.mean), _measured(one.width))
    console().print(whole)


def _print_told(found: Fidelity) -> None:
    """How well whole events and collections are told from FullSim's, before and after."""
    numbers = ("ROWS", "BEFORE", "AUC", "FLOOR")
    listing = table("TOLD APART", *numbers, right=numbers, title=f"Beside {found.compared_with}")
    for one in found.told:
        before = "-" if one.before is None else f"{one.before:.3f}"
        area = _coloured(f"{one.auc:.3f}±{one.error:.3f}", one.light)
        listing.add_row(one.name, f"{one.rows:,}", before, area, f"{one.floor:.3f}")
    console().print(listing)
    lights = ", ".join(f"{number} {light}" for light, number in found.groups.items())
    then = ", ".join(f"{number} {light}" for light, number in found.groups_before.items())
    before = f"; before, {found.begun_as}: {then}" if then else ""
    console().print(f"groups of attributes: {lights}{before}", soft_wrap=True)


def _model_row(one: ModelVerdict, with_before: bool) -> list[str]:
    row = [_coloured(one.name, one.light)]
    if one.properties is None:
        row += ["-"] * (6 if with_before else 5)
    else:
        found = one.properties
        row += [
            f"{found.objects:,}",
            f"{found.median_w1:.3f}",
            *(("-" if found.before is None else f"{found.before:.3f}",) if with_before else ()),
            _coloured(f"{found.auc:.3f}", found.light),
            f"{found.floor:.3f}",
            found.worst,
        ]
    if one.numbers is None:
        return [*row, "-"]
    axis = _AXES.get(one.numbers.axis, one.numbers.axis)
    return [*row, _coloured(f"{one.numbers.chi2_per_ndf:.2f} {axis}", one.numbers.light)]


def _coloured(text: str, light: str) -> str:
    return f"[{_STYLES[light]}]{text}[/]"


def _measured(figure: Ratio | None) -> str:
    return "-" if figure is None else f"{figure.value:.3f}±{figure.error:.3f}"
