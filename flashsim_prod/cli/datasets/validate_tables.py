"""What ``validate`` found, on the terminal."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.markup import escape

from flashsim_prod.cli.show import console, table

if TYPE_CHECKING:
    from flashsim_prod.production.dataset.validate import Filled, Validation
    from flashsim_prod.production.models.detector import Beside
    from flashsim_prod.production.models.validating import AnalysisComparison, ProofOfProcess

_STYLES = {"green": "green", "amber": "yellow", "red": "red"}
_COMPLAINTS = 4


def coloured(text: str, light: str | None) -> str:
    """`text` in the colour of a verdict."""
    return f"[{_STYLES[light]}]{text}[/]" if light else text


def print_detector(made: Beside) -> None:
    """Objects by source, a line for each collection, and whole events."""
    out = console()
    listing = table("SOURCE", "REAL", "DETECTOR", "RATIO", right=("REAL", "DETECTOR", "RATIO"))
    for one in made.rates:
        ratio = f"{one.ratio:.2f}" if one.real.value else "-"
        listing.add_row(
            one.name, f"{one.real.value:.3f} ± {one.real.error:.3f}", f"{one.made.value:.3f}", ratio
        )
    out.print(f"objects per event, {made.events:,} events", markup=False)
    out.print(listing)
    groups = table("GROUP", "AUC", "FLOOR", "LIGHT", "NOT GREEN, WORST FIRST", right=("AUC", "FLOOR"))
    for group in made.fidelity.groups:
        told = group.told
        areas = [f"{told.auc.value:.3f}", f"{told.floor.value:.3f}"] if told else ["-", "-"]
        shown = ", ".join(group.complaints[:_COMPLAINTS])
        groups.add_row(group.name, *areas, coloured(group.light or "-", group.light), shown)
    out.print(groups)
    if (whole := made.fidelity.told) is not None:
        out.print(
            f"whole events: AUC {whole.auc.value:.3f} ± {whole.auc.error:.3f}, halves of the real ones "
            f"{whole.floor.value:.3f}",
            markup=False,
        )


def print_validation(made: Validation) -> None:
    """A line for each collection."""
    out = console()
    out.print(f"[bold]{made.name}[/bold] compared with {made.reference.title}", soft_wrap=True)
    for problem in made.problems:
        out.print(f"technical check: {problem}", style="red", markup=False, soft_wrap=True)
    for note in made.told:
        out.print(f"note: {note}", style="yellow", markup=False, soft_wrap=True)
    numbers = ("GREEN", "AMBER", "RED")
    listing = table("GROUP", *numbers, "AUC", "LIGHT", "NOT GREEN, WORST FIRST", right=(*numbers, "AUC"))
    for group in made.fidelity.groups:
        shown = group.complaints[:_COMPLAINTS]
        more = len(group.complaints) - len(shown)
        listing.add_row(
            group.name,
            *(str(group.count(colour)) for colour in ("green", "amber", "red")),
            f"{group.told.auc.value:.3f}" if group.told else "-",
            coloured(group.light or "-", group.light),
            ", ".join(shown) + (f" and {more} more" if more else ""),
        )
    out.print(listing)
    if (told := made.fidelity.told) is not None:
        most = escape(", ".join(name for name, _ in told.importance[:_COMPLAINTS]))
        area = coloured(f"{told.auc.value:.3f} ± {told.auc.error:.3f}", told.light)
        out.print(
            f"whole events: told apart with an AUC of {area}, halves of the reference with "
            f"{told.floor.value:.3f} ± {told.floor.error:.3f}; most by {most}",
            soft_wrap=True,
        )
    for branch, (first, second) in made.fidelity.not_finite.items():
        out.print(
            f"not finite, left out: {branch}, {first:,} times in the dataset, {second:,} in the reference",
            style="yellow",
            markup=False,
            soft_wrap=True,
        )
    for who, names in made.only_in_one.items():
        out.print(
            f"not compared, only in the {who}: {_by_collection(names)}",
            style="yellow",
            markup=False,
            soft_wrap=True,
        )


def _by_collection(names: Sequence[str]) -> str:
    """A few branches by name, or how many there are of each collection."""
    if len(names) <= _COMPLAINTS:
        return ", ".join(names)
    return ", ".join(
        f"{name} ({number})" for name, number in Counter(one.partition("_")[0] for one in names).items()
    )


def print_proof(found: ProofOfProcess) -> None:
    """A line for each observable and factor."""
    columns = ("FOLDS", "PULL", "P", "CHI2 P", "NAIVE", "P", "GAIN")
    listing = table("OBSERVABLE", *columns, right=columns, title=found.title)
    for one in found.proofs:
        right, wrong = one.correlated, one.naive
        listing.add_row(
            coloured(one.observable, "green" if one.is_proven else "red"),
            str(one.folds),
            f"{right.width:.3f}±{right.width_error:.3f}",
            f"{right.p_value:.2g}",
            f"{right.chi2_p_value:.2g}",
            f"{wrong.width:.3f}",
            f"{min(wrong.p_value, wrong.chi2_p_value):.0e}",
            f"{one.gain:.2f}",
        )
    console().print(listing)


def print_analysis(found: AnalysisComparison) -> None:
    """The cut flow of signal and background, and the distributions."""
    out = console()
    for process in found.processes:
        numbers = ("FLASHSIM", "REFERENCE", "RATIO")
        kind = "signal" if process.is_signal else "background"
        listing = table(
            "CUT", *numbers, right=numbers, title=f"{found.analysis.title}, {kind}: {process.title}"
        )
        for row in process.flow:
            ratio = "-" if row.ratio is None else f"{row.ratio.value:.3f}±{row.ratio.error:.3f}"
            rates = (f"{one.value:.4f}±{one.error:.4f}" for one in (row.sample, row.reference))
            listing.add_row(coloured(row.name, row.light), *rates, ratio)
        out.print(listing)
        judged = [one for one in process.distributions if one.light]
        shown = (coloured(f"{one.feature.name} {one.wasserstein:.3f}", one.light) for one in judged)
        out.print(f"W1 in sigma: {', '.join(shown)}", soft_wrap=True)
    areas = [
        f"{title} {one.value:.3f}±{one.error:.3f}"
        for title, one in (
            ("FlashSim", found.auc.sample),
            ("reference", found.auc.reference),
            ("difference", found.auc.difference),
        )
    ]
    out.print(
        coloured(f"network, area under the ROC curve: {', '.join(areas)}", found.auc.light), soft_wrap=True
    )


def print_histogram(filled: Filled) -> None:
    """A line for each bin."""
    made, naive = filled.by_gen, filled.by_event
    columns = ("FROM", "TO", "SUM", "ERROR", "NAIVE", "GAIN")
    listing = table(*columns, right=columns, title=filled.observable.name)
    edges = [-math.inf, *made.hist().axes[0].edges.tolist(), math.inf]
    gain = [math.nan, *filled.gain.tolist(), math.nan]
    sums = zip(made.values(flow=True), made.variances(flow=True), naive.variances(flow=True), strict=True)
    for position, (value, variance, independent) in enumerate(sums):
        factor = "-" if math.isnan(gain[position]) else f"{gain[position]:.2f}"
        limits = (f"{edge:g}" for edge in edges[position : position + 2])
        listing.add_row(*limits, f"{value:.6g}", f"{variance**0.5:.3g}", f"{independent**0.5:.3g}", factor)
    console().print(listing)
    console().print(
        f"{made.entries:,} entries. SUM counts generator events: genWeight / {filled.folds:g} folds. "
        "ERROR takes the folds of a generator event in a bin as correlated, NAIVE as independent. "
        "GAIN: how many times the generator events one would need for ERROR without oversampling.",
        soft_wrap=True,
    )
