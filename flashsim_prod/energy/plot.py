"""Power against time, with the windows that the figures come from."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from flashsim_prod.energy.analysis import counted_channels, void_reason
from flashsim_prod.energy.record import Channel, Measurement
from flashsim_prod.errors import NodeError, StorageError

_COLOURS = {"before": "tab:blue", "run": "tab:red", "after": "tab:blue"}


def plot_power(measurement: Measurement, path: Path) -> None:
    """Draw every cycle into a file; its ending decides the format.

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
    known = {one.label: one for one in measurement.configurations}
    figure = Figure(figsize=(10, 4.5), layout="constrained")
    axes = figure.add_subplot()
    axes.set(xlabel="time since the start [s]", ylabel="power [W]", title=measurement.node.host)
    for cycle in measurement.cycles:
        for name, colour in _COLOURS.items():
            window = getattr(cycle, name)
            axes.axvspan(window.start_s, window.end_s, color=colour, alpha=0.12, linewidth=0)
        reason = void_reason(cycle, known[cycle.configuration], measurement.response, measurement.schedule)
        label = cycle.configuration + (" (void)" if reason else "")
        axes.text(cycle.run.start_s, 0.98, label, transform=axes.get_xaxis_transform(), va="top", fontsize=8)
        for channel in counted_channels(cycle):
            axes.plot(*_curve(channel), ".-", color="black", markersize=2, linewidth=0.6)
    axes.set_ylim(bottom=0)
    try:
        figure.savefig(path)
    except (OSError, ValueError) as error:
        raise StorageError(f"{path}: the plot cannot be written: {error}") from error


def _curve(channel: Channel) -> tuple[list[float], list[float]]:
    """Polled power, or the slope of the counter."""
    polled = [
        (t_s, watts) for t_s, watts in zip(channel.t_s, channel.power_w, strict=True) if watts is not None
    ]
    if polled:
        return [t_s for t_s, _ in polled], [watts for _, watts in polled]
    counts = [
        (t_s, joule) for t_s, joule in zip(channel.t_s, channel.energy_j, strict=True) if joule is not None
    ]
    times = [(one[0] + two[0]) / 2 for one, two in pairwise(counts)]
    return times, [(two[1] - one[1]) / (two[0] - one[0]) for one, two in pairwise(counts)]
