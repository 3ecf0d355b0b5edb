"""What steps of the flows cost and what they are worth: events per second, and how draws are told apart."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from flashsim_prod.core.choices import Solver
from flashsim_prod.core.options import Sampling
from flashsim_prod.core.request import Request
from flashsim_prod.core.splitting import simulate_job
from flashsim_prod.errors import RequestError
from flashsim_prod.physics.chain.kinds.registry import FLOW
from flashsim_prod.production.job.batches import fold_chunks
from flashsim_prod.production.job.simulate import bound_bundle, event_source
from flashsim_prod.production.measure.speed import measure_speed, request_of

if TYPE_CHECKING:
    from flashsim_prod.physics.chain.distilled import Distilled
    from flashsim_prod.physics.events import Events
    from flashsim_prod.physics.training.distilling.scan import Area
    from flashsim_prod.production.order.plan import Order

#: called with what is being done, how much of it is done and how much there is
StepsProgress = Callable[[str, int, int], None]

#: objects of each model that draws are told apart by, at most
OBJECTS = 5000


@dataclass(frozen=True)
class StepsRow:
    """One number of evaluations.

    Attributes
    ----------
    evaluations : int
    solver : str
    weights : str
        ``teachers``, or ``students`` where those of a bundle draw.
    events_hz, flashsim_hz : float
        Output events per second, generator included, and without it.
    models : int
        Flows that were compared; only of these are the areas.
    auc : float
        Their median, of a classifier that tells draws from the teachers' in 8 evaluations.
    worst_auc, worst_error : float
        Largest of them, of `worst_model`.
    """

    evaluations: int
    solver: str
    weights: str
    events_hz: float
    flashsim_hz: float
    models: int
    auc: float
    worst_auc: float
    worst_error: float
    worst_model: str


def parse_scan(typed: str) -> tuple[int, ...]:
    """Numbers of evaluations with commas between; `RequestError` if that is none."""
    words = [word.strip() for word in typed.split(",") if word.strip()]
    numbers = [int(word) for word in words if word.isascii() and word.isdigit()]
    if not words or len(numbers) != len(words) or not all(1 <= number <= 1000 for number in numbers):
        raise RequestError(f"--scan: '{typed}' is no list of evaluations from 1 to 1000, as 1,2,4,8,20,100")
    return tuple(dict.fromkeys(numbers))


def scan_steps(
    order: Order, evaluations: Sequence[int], progress: StepsProgress, *, threads: int | None = None
) -> tuple[StepsRow, ...]:
    """Time and compare the models of an order's bundle in so many evaluations; of a bundle with students
    its teachers, and one more row for it.

    Raises
    ------
    RequestError
        If no flow is asked for often enough; or as `measure_speed`.
    """
    from flashsim_prod.physics.chain.chain import Chain
    from flashsim_prod.physics.chain.device import keep_to_threads
    from flashsim_prod.physics.chain.distilled import students
    from flashsim_prod.physics.training.distilling.scan import areas
    from flashsim_prod.physics.training.distilling.sources import gather

    keep_to_threads(1)
    if order.analysis is not None:
        raise RequestError("--scan: of bundles of object models; leave out --analysis")
    bundle = bound_bundle(request_of(order))
    if all(entry.kind != FLOW for entry in bundle.manifest.models.values()):
        raise RequestError(f"--scan: bundle {bundle.name} has no flow, and all else takes one evaluation")
    own = students(bundle.manifest.models)
    chain = Chain(bundle.of_teachers)
    asked = gather(chain, _folds(request_of(order)), seed=1, most=OBJECTS)
    ways = [
        ("teachers", steps_in(number).model_copy(update={"teachers": bool(own)})) for number in evaluations
    ]
    if own:
        ways.append(("students", Sampling()))
    rows = []
    for number, (weights, sampling) in enumerate(ways):
        progress("scan", number, len(ways))
        speed = measure_speed(order.model_copy(update={"sampling": sampling}), threads=threads)
        drawing = chain if weights == "teachers" else Chain(bundle)
        found = areas(drawing, chain, asked, sampling, seed=1)
        if weights == "students":
            found = [area for area in found if area.model in own]
        if not found:
            raise RequestError("--scan: no flow is asked for 200 objects in so few events; say more --events")
        steps = max((area.evaluations for area in found), default=0)
        solver = _solver_of(own, steps) if weights == "students" else sampling.solver
        rows.append(_row(steps, solver, weights, (speed.events_hz, speed.flashsim_hz), found))
    progress("scan", len(ways), len(ways))
    return tuple(rows)


def _solver_of(own: Mapping[str, Distilled], evaluations: int) -> Solver:
    """How the students go that take so many evaluations."""
    return next(one.solver for one in own.values() if one.evaluations == evaluations)


def steps_in(evaluations: int) -> Sampling:
    """So many evaluations: midpoint, two in each step, or Euler where their number is odd."""
    solver = Solver.EULER if evaluations % 2 else Solver.MIDPOINT
    return Sampling(solver=solver, evaluations=evaluations)


def _folds(request: Request) -> Iterator[Events]:
    job = simulate_job(request, 0)
    first = job.gen_first
    for gen in event_source(request, job).chunks(max(1, request.site.resources.chunk_events // 10)):
        yield from fold_chunks(gen, request, job, first)
        first += gen.n


def _row(
    evaluations: int, solver: str, weights: str, rates: tuple[float, float], found: Sequence[Area]
) -> StepsRow:
    worst = max(found, key=lambda area: area.auc.value)
    return StepsRow(
        evaluations=evaluations,
        solver=str(solver),
        weights=weights,
        events_hz=round(rates[0], 1),
        flashsim_hz=round(rates[1], 1),
        models=len(found),
        auc=round(float(np.median([area.auc.value for area in found])), 4),
        worst_auc=round(worst.auc.value, 4),
        worst_error=round(worst.auc.error, 4),
        worst_model=worst.model,
    )
