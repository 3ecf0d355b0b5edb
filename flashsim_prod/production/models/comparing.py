"""Kinds of model compared on the tables of a work folder."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from flashsim_prod.core.choices import Device, ModelKind
from flashsim_prod.core.request import Sampling
from flashsim_prod.errors import RequestError
from flashsim_prod.files import write_json, write_whole
from flashsim_prod.grid.locks import alone_making

if TYPE_CHECKING:
    from flashsim_prod.physics.validation.models.kinds import Standing

#: called with the fit at hand, its step, its steps and its loss
FitStep = Callable[[str, int, int, float], None]


@dataclass(frozen=True)
class CompareOptions:
    """Terms that are the same for all kinds.

    Attributes
    ----------
    minutes : float
        Training time of each kind on one core, in processor time.
    objects : int
        Held-out objects to compare with, where the tables have four times as many.
    sampling : Sampling
        How flows are integrated.
    """

    minutes: float
    objects: int
    sampling: Sampling
    seed: int = 1


@dataclass(frozen=True)
class Compared:
    """How kinds came out, and where that is written."""

    standings: tuple[Standing, ...]
    figures: Path
    picture: Path | None


def compare_kinds(
    models: Sequence[str], kinds: str, work: Path, options: CompareOptions, progress: FitStep
) -> Compared:
    """Train each of `models` as each of `kinds`, on the same tables for the same time, and measure them.

    Parameters
    ----------
    kinds : str
        Names of kinds with commas between.
    work : Path
        Has the tables; what is made goes into ``kinds`` there, and what was interrupted goes on from it. What
        was made on other terms stays beside.

    Raises
    ------
    RequestError
        If there is no such model or kind.
    InputError
        If there are no tables, too small ones, or such with a weight.
    LockedError
        If another command trains one of these kinds there.
    """
    chosen = _kinds(kinds)
    if not 0 < options.minutes < math.inf:
        raise RequestError(f"--minutes {options.minutes:g}: give a time above 0")
    from flashsim_prod.physics.chain.device import pick_device
    from flashsim_prod.physics.chain.registry import find_model, in_version
    from flashsim_prod.physics.training.drawn import refuse_weights
    from flashsim_prod.physics.training.losses import can_draw
    from flashsim_prod.physics.training.tables import load_tables
    from flashsim_prod.physics.validation.models.kinds import Terms, compare_kind

    found = [find_model(name) for name in models]
    pick_device(Device.CPU, threads=1)
    terms = Terms(options.minutes, options.objects, options.sampling, options.seed)
    folder = work / "kinds"
    standings = []
    for model in found:
        table = load_tables(work / "tables", model)
        refuse_weights(table, work / "tables" / model.name)
        model = in_version(model, table.version)
        drawn = model.drawing({str(target) for target in model.targets if target.name in table.targets})
        for kind in chosen:
            place = folder / model.name / kind

            def shown(network: str, step: int, steps: int, loss: float, of: str = model.name) -> None:
                progress(f"{of} {network}", step, steps, loss)

            with alone_making(place.parent, kind, f"trains {model.name} as a {kind} in {folder}"):
                standings.append(compare_kind(drawn, table, kind, terms, place, shown))
    figures = write_json(folder / "compared.json", {"terms": terms.told(), "standings": standings})
    picture = None
    if can_draw():
        from flashsim_prod.physics.validation.drawing.kinds import area_against_cost

        picture = write_whole(folder / "auc_cost.png", area_against_cost(standings))
    return Compared(tuple(standings), figures, picture)


def _kinds(words: str) -> list[str]:
    """The kinds named in `words`, each once."""
    known = [kind.value for kind in ModelKind]
    chosen = list(dict.fromkeys(word.strip() for word in words.split(",") if word.strip()))
    for kind in chosen:
        if kind not in known:
            raise RequestError(f"--kinds: there is no kind '{kind}'; there are {', '.join(known)}")
    if not chosen:
        raise RequestError(f"--kinds: name at least one of {', '.join(known)}")
    return chosen
