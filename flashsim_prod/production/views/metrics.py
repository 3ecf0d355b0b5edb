"""How requests stand, as figures that Prometheus collects; names follow its conventions.

All but failed attempts are gauges: a job whose output was lost is made again, so sums over finished jobs can
fall. The figures are those of ``status``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flashsim_prod import __version__
from flashsim_prod.core.states import JobState, RequestState
from flashsim_prod.errors import ConfigError
from flashsim_prod.grid.ledger.causes import cause
from flashsim_prod.production.views.status import RequestStanding

if TYPE_CHECKING:
    from prometheus_client.core import Metric

_PREFIX = "flashsim_prod"
#: of a cause, which is a label's value [characters]
_CAUSE_MAX = 200


@dataclass(frozen=True)
class Figure:
    """One number of a metric, and the values of its labels."""

    labels: tuple[str, ...]
    value: float


@dataclass(frozen=True)
class MetricFamily:
    """A metric: its name, what it counts, the names of its labels, and its numbers.

    Attributes
    ----------
    is_counter : bool
        It never falls; else it is a gauge.
    """

    name: str
    help: str
    labels: tuple[str, ...]
    figures: tuple[Figure, ...]
    is_counter: bool = False


def metrics_of(standings: Sequence[RequestStanding]) -> list[MetricFamily]:
    """All metrics of all requests."""
    version = Figure((__version__,), 1)
    return [
        MetricFamily(f"{_PREFIX}_build_info", "Version of the software, always 1.", ("version",), (version,)),
        _requests(standings),
        MetricFamily(
            f"{_PREFIX}_jobs",
            "Jobs of a request by stage and state.",
            ("request", "site", "stage", "state"),
            tuple(_jobs(standings)),
        ),
        MetricFamily(
            f"{_PREFIX}_expected_events",
            "Output events that a request is to have, or has once it is done.",
            ("request", "site"),
            tuple(Figure((one.line.name, one.line.site), one.line.events) for one in standings),
        ),
        *_of_finished_jobs(standings),
        MetricFamily(
            f"{_PREFIX}_remaining_seconds",
            "Expected time until a running request is done, where it can be told.",
            ("request", "site"),
            tuple(
                Figure((one.line.name, one.line.site), one.line.eta_s)
                for one in standings
                if one.line.eta_s is not None
            ),
        ),
        _failures(standings),
    ]


def exposition(families: Iterable[MetricFamily]) -> bytes:
    """The metrics in Prometheus' text format.

    Raises
    ------
    ConfigError
        If its client library is not installed.
    """
    try:
        from prometheus_client import CollectorRegistry, generate_latest
    except ImportError as error:
        raise ConfigError(f"{error}; metrics need it: pip install 'flashsim-prod[serve]'") from error
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collected(list(families)))
    return generate_latest(registry)


class _Collected:
    """What a registry asks for its metrics."""

    def __init__(self, families: Sequence[MetricFamily]) -> None:
        self._families = families

    def describe(self) -> list[Metric]:
        """Nothing: names are those of this one time."""
        return []

    def collect(self) -> Iterator[Metric]:
        """The metrics, as the library has them."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        for family in self._families:
            kind = CounterMetricFamily if family.is_counter else GaugeMetricFamily
            made = kind(family.name, family.help, labels=family.labels)
            for figure in family.figures:
                made.add_metric(figure.labels, figure.value)
            yield made


def _requests(standings: Sequence[RequestStanding]) -> MetricFamily:
    states = Counter(one.line.state for one in standings)
    figures = tuple(Figure((state.value,), states[state]) for state in RequestState)
    return MetricFamily(f"{_PREFIX}_requests", "Requests by state.", ("state",), figures)


def _jobs(standings: Sequence[RequestStanding]) -> Iterator[Figure]:
    """Zeros, too: a figure that vanishes would seem to go on for minutes."""
    for one in standings:
        for stage in one.stages[1:]:
            for state in JobState:
                labels = (one.line.name, one.line.site, stage.label, state.value)
                yield Figure(labels, stage.states.get(state, 0))


def _of_finished_jobs(standings: Sequence[RequestStanding]) -> Iterator[MetricFamily]:
    """Sums over finished jobs; energy only where some node had a meter."""
    for name, attribute, text in (
        ("events", "events", "Events that finished jobs of a stage have made."),
        ("output_bytes", "bytes", "Bytes that finished jobs of a stage have written."),
        ("energy_joules", "energy_j", "Energy of the finished jobs whose node had a meter."),
        ("measured_events", "measured_events", "Events of the finished jobs whose node had a meter."),
    ):
        figures = tuple(
            Figure((one.line.name, one.line.site, speed.stage.value), getattr(speed, attribute))
            for one in standings
            for speed in one.speeds
            if getattr(speed, attribute) is not None
        )
        yield MetricFamily(f"{_PREFIX}_{name}", text, ("request", "site", "stage"), figures)


def _failures(standings: Sequence[RequestStanding]) -> MetricFamily:
    # without numbers and paths, so that a cause stays one series; two that are cut to the same are one
    counted: Counter[tuple[str, ...]] = Counter()
    for one in standings:
        for failure in one.failures:
            why = cause(failure.error)[:_CAUSE_MAX]
            labels = (one.line.name, one.line.site, failure.stage.value, str(failure.exit_code), why)
            counted[labels] += failure.attempts
    return MetricFamily(
        f"{_PREFIX}_failed_attempts_total",
        "Attempts at jobs that failed, by exit code and cause.",
        ("request", "site", "stage", "exit_code", "cause"),
        tuple(Figure(labels, number) for labels, number in counted.items()),
        is_counter=True,
    )
