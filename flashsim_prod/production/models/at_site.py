"""Tables, fits and bundles made by the jobs of a site: one for each file, then one for each object model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from flashsim_prod.core.site import Site
from flashsim_prod.grid.batch.base import Training
from flashsim_prod.production.models.drawing import Portion, StepProgress, check_portions, is_drawn, words_of
from flashsim_prod.production.models.fitting import (
    FitDisplay,
    FitOptions,
    Submitted,
    fit_words,
    forget,
    is_fitted,
)
from flashsim_prod.production.models.training import (
    bundle_trouble,
    check_hand_over,
    follow,
    hand_over,
    said_by_drawing,
)
from flashsim_prod.production.order.library import find_site


@dataclass(frozen=True)
class DrawnAt:
    """Tables that a site draws.

    Attributes
    ----------
    files : int
        Those without all of their tables.
    batch_id : int, optional
        The batch system's number; ``None`` if nothing was left to do.
    is_new : bool
        Whether they were not at work already.
    is_done : bool
        Whether all tables are there.
    """

    site: str
    files: int
    batch_id: int | None
    is_new: bool
    is_done: bool
    folder: Path


def draw_at(
    site: str,
    portions: Sequence[Portion],
    work: Path,
    *,
    progress: StepProgress,
    wait: bool,
    say: Callable[[str], None],
) -> DrawnAt:
    """Have a site draw the tables of `portions` that are not there, a job for each file.

    Parameters
    ----------
    wait : bool
        Follow the jobs to their end.
    say : callable
        Is told if the batch system does not answer for a while.

    Raises
    ------
    RequestError
        If there is no such site, or its engine does not train; or as of `extract_tables`.
    InputError
        As of `extract_tables`, of what can be seen before.
    JobsFailedError
        If jobs that were followed left files without tables.
    """
    from flashsim_prod.physics.chain.registry import MODELS

    found, tables = find_site(site), work / "tables"
    check_portions(portions, MODELS, tables)
    left = [one for one in portions if not is_drawn(one, tables)]
    if not left:
        return DrawnAt(found.name, 0, None, is_new=False, is_done=True, folder=work / "batch")
    words = tuple(words_of(one, work.absolute()) for one in left)
    check_hand_over(found, work, None, anew=False)
    batch_id, is_new = hand_over(found, Training(work.absolute(), (), (), None, words))
    handed = DrawnAt(found.name, len(left), batch_id, is_new=is_new, is_done=False, folder=work / "batch")
    if not wait:
        return handed

    def missing() -> list[Portion]:
        return [one for one in left if not is_drawn(one, tables)]

    def trouble() -> str:
        lost = missing()
        if not lost:
            return ""
        said = said_by_drawing(work.absolute(), batch_id, words_of(lost[0], work.absolute()))
        others = f" and of {len(lost) - 1} more" if len(lost) > 1 else ""
        return f"not all tables were drawn; see {said} of {lost[0].url}{others}"

    follow(
        *(found, work, trouble),
        lambda: progress("files", len(left) - len(missing()), len(left)),
        say,
    )
    return replace(handed, is_done=True)


def train_at(
    site: Site,
    work: Path,
    portions: Sequence[Portion],
    options: FitOptions,
    output: Path,
    bundle: Sequence[str],
    display: FitDisplay,
    *,
    few_are_left: bool,
    wait: bool,
) -> Submitted:
    """Have a site draw tables of `portions`, fit all models, and make the bundle.

    Parameters
    ----------
    bundle : sequence of str
        Further words for ``train bundle``.
    few_are_left : bool
        Whether models with too few objects are left to the base, and no error.

    Raises
    ------
    RequestError, ConfigError, StorageError, JobsFailedError
        As of `fit_all_models`.
    """
    from flashsim_prod.physics.chain.registry import MODELS

    check_hand_over(site, work, output, anew=options.anew)
    if options.anew:
        forget(MODELS, work)
    missing = tuple(model.name for model in MODELS if not is_fitted(work, model.name))
    left = tuple(one for one in portions if not is_drawn(one, work / "tables"))
    words = tuple(words_of(one, work.absolute()) for one in left)
    options_of_fits = (*fit_words(site, options), *(("--if-enough",) if few_are_left else ()))
    training = Training(work.absolute(), missing, options_of_fits, output.absolute(), words, tuple(bundle))
    batch_id, is_new = hand_over(site, training)
    handed = Submitted(
        *(site.name, str(site.engine), batch_id, is_new, missing, output, work / "batch"), files=len(left)
    )
    display.submitted(handed)
    if not wait:
        return handed

    def show() -> None:
        drawn = sum(is_drawn(one, work / "tables") for one in left)
        if drawn < len(left):
            display.step("files", drawn, len(left))
        else:
            display.step("fits", sum(is_fitted(work, name) for name in missing), len(missing))

    follow(site, work, bundle_trouble(work, output), show, display.remark)
    return replace(handed, is_done=True)
