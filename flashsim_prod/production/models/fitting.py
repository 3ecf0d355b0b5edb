"""Object models fitted to their training tables: here, one after another, or by the jobs of a site."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from flashsim_prod.core.choices import Device, ModelKind
from flashsim_prod.errors import InputError, RequestError
from flashsim_prod.production.models.opendata.fit_energy import measured_fit
from flashsim_prod.production.models.training import check_hand_over, follow_fits, hand_over_fits
from flashsim_prod.production.order.library import find_site

if TYPE_CHECKING:
    from flashsim_prod.core.site import Site
    from flashsim_prod.physics.chain.model import ObjectModel
    from flashsim_prod.physics.training.finite import LeftOut
    from flashsim_prod.physics.training.optimise import FitSettings
    from flashsim_prod.physics.training.record import FitRecord


#: name of the network that draws how many objects there are, whatever the kind
_OF_NUMBERS = "multiplicity"


@dataclass(frozen=True)
class FitOptions:
    """How networks are fitted.

    Attributes
    ----------
    quick : bool
        A tenth of the steps.
    steps : int, optional
        Of the flow; the other network takes a third.
    width, blocks : int, optional
        Size of the flow's network; the model's own by default.
    kind : ModelKind, optional
        What is to draw the attributes; a flow, or what the last fit has if it is built on.
    only : str, optional
        The one network to fit: what draws the attributes, by its kind, or their number (multiplicity).
    further : bool
        Go on from the weights that the last fit left.
    anew : bool
        Start over, whatever earlier fits left.
    device : Device
    """

    quick: bool = False
    steps: int | None = None
    width: int | None = None
    blocks: int | None = None
    kind: ModelKind | None = None
    only: str | None = None
    further: bool = False
    anew: bool = False
    device: Device = Device.AUTO
    threads: int = 1
    seed: int = 1


@dataclass(frozen=True)
class Fitted:
    """How the fit of one model went.

    Attributes
    ----------
    rows, objects : int
        Sources and objects learned from.
    seconds : float
        Wall time, all sittings together.
    held_out_loss : mapping of network to float
        The least.
    left_out : LeftOut
        What was not learned from, as numbers are not finite.
    """

    model: str
    rows: int
    objects: int
    seconds: float
    held_out_loss: Mapping[str, float]
    left_out: LeftOut


@dataclass(frozen=True)
class Submitted:
    """Fits that were handed to a site.

    Attributes
    ----------
    batch_id : int
        The batch system's number.
    is_new : bool
        Whether they were not at work already.
    bundle : Path
        Folder of the bundle that is made of them.
    files : int
        Whose tables are drawn before.
    folder : Path
        Of the jobs' files.
    is_done : bool
        Whether they were followed to their end.
    """

    site: str
    engine: str
    batch_id: int
    is_new: bool
    models: tuple[str, ...]
    bundle: Path
    folder: Path
    is_done: bool = False
    files: int = 0


@dataclass(frozen=True)
class Fits:
    """Fits of a work folder.

    Attributes
    ----------
    fits : tuple of Fitted
        Those that were made now.
    too_few : mapping of object model to objects
        Those that could not be fitted, with how many objects there are of each.
    n_models : int
        Models that were asked for, those that were fitted before included.
    are_drawn : bool
        Whether there are pictures of the losses.
    submitted : Submitted, optional
    complaint : str
        What is to be said of those that could not be fitted; empty if there are none.
    """

    work: Path
    fits: tuple[Fitted, ...] = ()
    too_few: Mapping[str, int] = field(default_factory=dict)
    n_models: int = 1
    are_drawn: bool = False
    submitted: Submitted | None = None
    complaint: str = ""

    def raise_complaint(self) -> None:
        """`InputError` if some models could not be fitted."""
        if self.complaint:
            raise InputError(self.complaint)


class FitDisplay:
    """Is shown how fits go on; override what is of interest."""

    def step(self, task: str, done: int, total: int, loss: float | None = None) -> None:
        """So much of a task is done, with this loss, if it is a fit's."""

    def fitted(self, fit: Fitted) -> None:
        """A fit has ended."""

    def submitted(self, found: Submitted) -> None:
        """Fits are with a site."""

    def remark(self, line: str) -> None:
        """Something worth a line has happened."""


def fit_model(
    model: str, work: Path, options: FitOptions, display: FitDisplay, *, if_enough: bool = False
) -> Fits:
    """Fit one object model to its tables in the folder `work`; a fit that was interrupted goes on.

    Parameters
    ----------
    if_enough : bool
        Whether it is no error if there are too few objects.

    Raises
    ------
    RequestError
        If there is no such model, or the options contradict each other.
    InputError
        If there are no tables, too small ones, or a checkpoint of other settings.
    NodeError
        If a GPU is asked for and there is none.
    """
    from flashsim_prod.physics.chain.registry import find_model

    found = find_model(model)
    if options.anew and (options.only or options.further):
        raise RequestError("--anew starts over, --only and --further build on the last fit: choose one")
    if options.kind and (options.only or options.further):
        raise RequestError("--only and --further build on the last fit and keep its kind: leave out --kind")
    if options.anew:
        forget([found], work)
    if if_enough:
        _, few = _by_size([found], work)
        if few:
            return Fits(work, too_few=few)
    return _fit_here([found], work, options, display)


def fit_all_models(
    work: Path,
    options: FitOptions,
    display: FitDisplay,
    *,
    site: str = "local",
    output: Path | None = None,
    wait: bool = False,
) -> Fits:
    """Fit every object model that is not fitted yet: one after another here, at once at a site.

    Parameters
    ----------
    site : str
        Name or file of where to fit.
    output : Path, optional
        Folder of the bundle that jobs of a site make; in `work` by default.
    wait : bool
        Follow jobs of a site to their end.

    Raises
    ------
    RequestError
        If there is no such site, or it does not train.
    InputError
        If a table is damaged.
    JobsFailedError
        If jobs of a site that were followed made no bundle.
    """
    from flashsim_prod.physics.chain.registry import MODELS
    from flashsim_prod.physics.training.assemble import fits_unlike_tables

    found, bundle = find_site(site), output or work / "bundle"
    if found.rules.goes_on_alone:
        check_hand_over(found, work, bundle, anew=options.anew)
    if options.anew:
        forget(MODELS, work)
    missing = [model for model in MODELS if not is_fitted(work, model.name)]
    enough, few = _by_size(missing, work)
    for line in fits_unlike_tables(work):
        display.remark(f"warning: {line}; to fit to these: train fit MODEL --anew")
    made = Fits(work)
    if found.rules.goes_on_alone and (enough or not missing):
        # with all fits done there is still a bundle to be made, or being made
        names = tuple(model.name for model in enough)
        handed = _fit_at(found, work, names, options, bundle, wait, display)
        made = replace(made, submitted=handed)
    elif enough:
        made = _fit_here(enough, work, options, display)
    return replace(made, n_models=len(MODELS), too_few=few, complaint=_complaint(few, work))


def _fit_here(models: Sequence[ObjectModel], work: Path, options: FitOptions, display: FitDisplay) -> Fits:
    from flashsim_prod.physics.chain.device import pick_device
    from flashsim_prod.physics.training.assemble import fits_unlike_tables
    from flashsim_prod.physics.training.drawn import told_mixtures
    from flashsim_prod.physics.training.losses import can_draw

    device = pick_device(options.device, threads=options.threads)
    goes_on = [model.name for model in models] if options.only or options.further else []
    for line in (*told_mixtures(work / "tables", models), *fits_unlike_tables(work, goes_on)):
        display.remark(f"warning: {line}")
    made = []
    for model in models:
        made.append(_fit(model, work, options, device, display))
        display.fitted(made[-1])
    return Fits(work, tuple(made), are_drawn=can_draw())


def _fit(model: ObjectModel, work: Path, options: FitOptions, device: str, display: FitDisplay) -> Fitted:
    from flashsim_prod.physics.training.fit import fit_into_folder

    with measured_fit(work, model.name, on_gpu=device != "cpu"):
        record = fit_into_folder(
            model,
            work,
            _settings(options),
            width=options.width,
            blocks=options.blocks,
            kind=options.kind or ModelKind.FLOW,
            only=options.only,
            further=options.further,
            device=device,
            progress=lambda network, step, steps, loss: display.step(
                f"{model.name} {network}", step, steps, loss
            ),
        )
    return _told(model.name, record)


def _told(model: str, record: FitRecord) -> Fitted:
    least = {network: min(entry[2] for entry in entries) for network, entries in record.losses.items()}
    return Fitted(model, record.rows, record.objects, record.seconds, least, record.left_out)


def _settings(options: FitOptions) -> FitSettings:
    from flashsim_prod.physics.training.optimise import FitSettings

    settings = FitSettings(seed=options.seed)
    if options.steps is not None:
        is_only = options.only == _OF_NUMBERS
        of_numbers = options.steps if is_only else max(100, options.steps // 3)
        settings = replace(settings, flow_steps=options.steps, multiplicity_steps=of_numbers)
    return settings.quick() if options.quick else settings


def _fit_at(
    site: Site,
    work: Path,
    models: tuple[str, ...],
    options: FitOptions,
    output: Path,
    wait: bool,
    display: FitDisplay,
) -> Submitted:
    batch_id, is_new = hand_over_fits(site, work, models, fit_words(site, options), output)
    handed = Submitted(site.name, str(site.engine), batch_id, is_new, models, output, work / "batch")
    display.submitted(handed)
    if not wait:
        return handed
    follow_fits(
        site,
        work,
        output,
        lambda: sum(is_fitted(work, name) for name in models),
        lambda done: display.step("fits", done, len(models)),
        display.remark,
    )
    return replace(handed, is_done=True)


def fit_words(site: Site, options: FitOptions) -> list[str]:
    """Options of ``train fit`` on a node of the site."""
    words = ["--device", site.device.value, "--threads", str(site.resources.cpus)]
    words += ["--seed", str(options.seed), *(["--quick"] if options.quick else [])]
    for option in ("steps", "width", "blocks", "kind"):
        value = getattr(options, option)
        words += [f"--{option}", str(value)] if value is not None else []
    return words


def is_fitted(work: Path, model: str) -> bool:
    """Whether there is a whole fit of a model."""
    from flashsim_prod.physics.training.assemble import ENTRY

    return (work / "fits" / model / ENTRY).is_file()


def _by_size(models: Sequence[ObjectModel], work: Path) -> tuple[list[ObjectModel], dict[str, int]]:
    """Those with enough objects to learn from, and how many there are of the others."""
    from flashsim_prod.physics.training.fit import LEAST_OBJECTS
    from flashsim_prod.physics.training.tables import table_sizes

    sized = [(model, table_sizes(work / "tables", model)[1]) for model in models]
    enough = [model for model, objects in sized if objects >= LEAST_OBJECTS]
    return enough, {model.name: objects for model, objects in sized if objects < LEAST_OBJECTS}


def _complaint(few: Mapping[str, int], work: Path) -> str:
    from flashsim_prod.physics.training.fit import LEAST_OBJECTS

    tables = work / "tables"
    if not few:
        return ""
    if not any(tables.glob("*/*.safetensors")):
        return f"{tables}: no training tables; run 'flashsim-prod train extract' first"
    names = ", ".join(f"{model} ({objects:,})" for model, objects in few.items())
    base = _base_for(tables)
    others = f", or take these models from a bundle: train bundle --base {base}" if base else ""
    return (
        f"not fitted, for want of {LEAST_OBJECTS:,} objects in {tables}: {names}; extract more "
        f"events and say it again{others}"
    )


def _base_for(tables: Path) -> str:
    """The bundle at hand with models of the version of NanoAOD that tables are of; empty if there is none."""
    from flashsim_prod.core.names import NANO_VERSION
    from flashsim_prod.physics.chain.bundle import DEFAULT, DEFAULT_OF, imported_bundles, shipped_bundles
    from flashsim_prod.physics.training.table import version_of_table

    told = {version_of_table(path) for path in sorted(tables.glob("*/*.safetensors"))} - {""}
    name = {NANO_VERSION: DEFAULT, **DEFAULT_OF}.get(min(told, default=NANO_VERSION), "")
    return name if name in (*shipped_bundles(), *imported_bundles()) else ""


def forget(models: Sequence[ObjectModel], work: Path) -> None:
    """Remove the fits of `models`."""
    for model in models:
        shutil.rmtree(work / "fits" / model.name, ignore_errors=True)
