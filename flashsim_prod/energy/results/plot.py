"""Power against time, with the windows that the figures come from."""

from __future__ import annotations

from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from flashsim_prod.energy.meters.counter import VoidWindowError, counts_of, step_j
from flashsim_prod.energy.record import Channel, Configuration, Cycle, Measurement, Window
from flashsim_prod.energy.results.figures import counted_channels, cycle_figures, void_reason
from flashsim_prod.energy.results.plateau import mean_power
from flashsim_prod.errors import NodeError, StorageError
from flashsim_prod.files import appearing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_IDLE_COLOUR = "0.6"
#: beyond this many cycles their names stand upright
_MANY = 8


def plot_power(measurement: Measurement, path: Path) -> None:
    """Draw every cycle into a file; its ending decides the format.

    Windows are shaded, and the means that were taken in them are drawn as bars across them.

    Raises
    ------
    NodeError
        If matplotlib is not installed.
    StorageError
        If the file cannot be written.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise NodeError("plots need matplotlib; install it: pip install 'flashsim-prod[report]'") from error
    figure = Figure(figsize=(10, 4.8), layout="constrained")
    axes = figure.add_subplot()
    colours = {one.label: f"C{number}" for number, one in enumerate(measurement.configurations)}
    known = {one.label: one for one in measurement.configurations}
    for cycle in measurement.cycles:
        _draw_cycle(axes, measurement, cycle, known[cycle.configuration], colours[cycle.configuration])
    _label(axes, measurement)
    with appearing(path) as temporary:
        try:
            figure.savefig(temporary, dpi=150, format=path.suffix.removeprefix(".") or "png")
        except ValueError as error:
            raise StorageError(f"{path}: the plot cannot be written: {error}") from error


def _draw_cycle(
    axes: Axes, measurement: Measurement, cycle: Cycle, configuration: Configuration, colour: str
) -> None:
    reason = void_reason(cycle, configuration, measurement.response, measurement.schedule)
    for window, shade in ((cycle.before, _IDLE_COLOUR), (cycle.run, colour), (cycle.after, _IDLE_COLOUR)):
        axes.axvspan(window.start_s, window.end_s, color=shade, alpha=0.15, linewidth=0)
    middle_s = (cycle.run.start_s + cycle.run.end_s) / 2
    axes.text(
        middle_s, 1.01, configuration.label + (" (void)" if reason else ""),
        transform=axes.get_xaxis_transform(), ha="center", va="bottom", fontsize=8, color=colour,
        rotation=90 if len(measurement.cycles) > _MANY else 0,
    )  # fmt: skip
    counted = counted_channels(cycle)
    for channel in cycle.channels:
        main = channel in counted
        axes.plot(
            *_curve(channel), ".-", markersize=2, linewidth=0.6, color="black" if main else "tab:olive",
            label=channel.name, gid=channel.name,
        )  # fmt: skip
    if reason is None:
        plateau = cycle_figures(cycle, configuration, measurement.response).plateau
        for window, shade in ((cycle.before, _IDLE_COLOUR), (plateau, colour), (cycle.after, _IDLE_COLOUR)):
            _draw_means(axes, counted, window, shade)


def _draw_means(axes: Axes, channels: list[Channel], window: Window, colour: str) -> None:
    for channel in channels:
        try:
            power_w = mean_power(channel, window).power_w
        except VoidWindowError:
            continue
        axes.hlines(power_w, window.start_s, window.end_s, color=colour, linewidth=4, alpha=0.6)


def _label(axes: Axes, measurement: Measurement) -> None:
    from matplotlib.lines import Line2D

    node = measurement.node
    axes.set(xlabel="time since the start [s]", ylabel="power [W]")
    axes.set_ylim(bottom=0)
    axes.margins(x=0.01)
    axes.figure.suptitle(f"{node.host}, {node.cpu}, {measurement.created:%Y-%m-%d %H:%M} UTC", fontsize=9)
    first = {line.get_label(): line for line in axes.get_lines() if line.get_gid()}
    means = Line2D([], [], color="0.4", linewidth=4, alpha=0.6, label="means taken")
    axes.legend(handles=[*first.values(), means], loc="lower right", fontsize=8)


def _curve(channel: Channel) -> tuple[list[float], list[float]]:
    """Polled power, or the slope of the counter."""
    polled = [
        (t_s, watts) for t_s, watts in zip(channel.t_s, channel.power_w, strict=True) if watts is not None
    ]
    if polled:
        return [t_s for t_s, _ in polled], [watts for _, watts in polled]
    slopes = []
    for one, two in pairwise(counts_of(channel)):
        # a reset is a gap in the curve
        with suppress(VoidWindowError):
            slopes.append(((one[0] + two[0]) / 2, step_j(channel, one, two) / (two[0] - one[0])))
    return [t_s for t_s, _ in slopes], [watts for _, watts in slopes]
