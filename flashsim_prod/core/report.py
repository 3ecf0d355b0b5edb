"""What a job says of itself when it ends: the only witness that is believed."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Literal

from pydantic import Field

from flashsim_prod.core.states import Stage
from flashsim_prod.core.strict import StrictModel


class LumiRange(StrictModel):
    """Luminosity sections [first, last] of one run."""

    run: int = Field(ge=1)
    first: int = Field(ge=1)
    last: int = Field(ge=1)


class OutputFile(StrictModel):
    """A file that a job left in storage."""

    lfn: str
    pfn: str
    bytes: int = Field(gt=0)
    events: int = Field(ge=0, description="none only where the shower may throw events away")
    adler32: str = Field(pattern=r"^[0-9a-f]{8}$")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    lumis: tuple[LumiRange, ...]


class Accepted(StrictModel):
    """What merging in the shower left of the generator events that it was given, folds not counted.

    Attributes
    ----------
    tried, accepted : int
    sumw_tried, sumw_accepted : float
        Sums of their weights, before and after the shower.
    sumw2_tried, sumw2_accepted : float
        Sums of the squares of these weights.
    """

    tried: int = Field(default=0, ge=0)
    accepted: int = Field(default=0, ge=0)
    sumw_tried: float = 0.0
    sumw_accepted: float = 0.0
    sumw2_tried: float = 0.0
    sumw2_accepted: float = 0.0

    def __add__(self, other: Accepted) -> Accepted:
        mine, its = self.model_dump(), other.model_dump()
        return Accepted(**{name: value + its[name] for name, value in mine.items()})

    @property
    def share(self) -> float | None:
        """Of the cross section that was tried, how much is left; ``None`` where nothing was tried."""
        return self.sumw_accepted / self.sumw_tried if self.sumw_tried else None

    @property
    def share_error(self) -> float:
        """Statistical uncertainty of `share`: of a binomial, with weights."""
        if not self.share:
            return 0.0
        squares = self.sumw2_accepted * (1 - 2 * self.share) + self.share**2 * self.sumw2_tried
        return math.sqrt(max(0.0, squares)) / abs(self.sumw_tried)


class EventWeights(StrictModel):
    """Sums of FlashSim_weight over events, and of its square."""

    events: int = Field(default=0, ge=0)
    total: float = 0.0
    squares: float = 0.0

    def __add__(self, other: EventWeights) -> EventWeights:
        return EventWeights(
            events=self.events + other.events,
            total=self.total + other.total,
            squares=self.squares + other.squares,
        )

    @property
    def effective(self) -> float:
        """How many events of weight one have as small an uncertainty."""
        return self.total**2 / self.squares if self.squares else 0.0

    @property
    def told(self) -> str:
        """The same in a line for people."""
        if not self.events:
            return "no job has told yet what its events weigh"
        share = self.effective / self.events
        return (
            f"FlashSim_weight: {self.events:,} events are worth {self.effective:,.0f} ({share:.1%}), "
            f"mean weight {self.total / self.events:.4f}"
        )


class JobReport(StrictModel):
    """The end of one attempt of one job, written by the worker as JSON."""

    schema_version: Literal[1] = 1
    request: str
    request_digest: str
    stage: Stage
    index: int = Field(ge=0)
    exit_code: int = Field(ge=0)
    error: str | None = None
    started: datetime
    ended: datetime
    host: str
    device: str = Field(description="cpu, or the GPU's name")
    gpus: tuple[str, ...] = Field(default=(), description="GPUs that the batch system assigned")
    software_version: str
    code: str | None = Field(default=None, description="digest of the code that draws events")
    bundle_digest: str | None = None
    seed: int | None = None
    gen_events: int = Field(default=0, ge=0)
    events: int = Field(default=0, ge=0)
    timings_s: dict[str, float] = Field(default_factory=dict, description="wall time by step [s]")
    processes: int = Field(default=1, ge=1, description="processes that simulated at a time")
    peak_rss_mb: float = Field(default=0.0, ge=0, description="of all processes, what they share once [MB]")
    energy_j: float | None = Field(default=None, description="measured on the node, if it has a meter [J]")
    energy_from: str | None = Field(default=None, description="the meter, and how its energy was attributed")
    energy_void: str | None = Field(
        default=None, description="why the node's meters give no energy, if it has some"
    )
    output: OutputFile | None = None
    merging: Accepted | None = Field(
        default=None, description="what the shower left, where it may throw events away"
    )
    weights: EventWeights | None = Field(
        default=None, description="of its events, where models weight what they draw"
    )
    events_by_lumi: dict[int, int] | None = Field(
        default=None, description="events of each luminosity section, where these are not known before"
    )
    content: dict[str, str] | None = Field(
        default=None, description="digests of the values in a file of the dataset, by part of the event"
    )

    @property
    def succeeded(self) -> bool:
        """Exit code 0 and a file to show for it."""
        return self.exit_code == 0 and self.output is not None
