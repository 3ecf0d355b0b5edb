"""Models of an analysis: trained by its configuration, judged, and put into a bundle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flashsim_prod.core.analyses.config import AnalysisConfig
from flashsim_prod.core.choices import Device
from flashsim_prod.errors import ConfigError, FidelityError, MeasurementError, RequestError
from flashsim_prod.files import read_text, storage_errors, write_json
from flashsim_prod.grid.locks import alone_making
from flashsim_prod.production.models.bundles import BundleSummary, summary

if TYPE_CHECKING:
    from flashsim_prod.physics.analysis.closure import Bins, Closure
    from flashsim_prod.physics.analysis.training import Progress


@dataclass(frozen=True)
class AnalysisOptions:
    """How the model of an analysis is made.

    Attributes
    ----------
    quick : bool
        A tenth of the steps.
    anew : bool
        Start over, whatever is in the work folder.
    """

    quick: bool = False
    anew: bool = False
    device: Device = Device.AUTO
    threads: int = 1


@dataclass(frozen=True)
class ClosedVariable:
    """How one variable closes.

    Attributes
    ----------
    bins, enough, off : int
        Bins, those with enough events to tell, and those of these that are off by more than 5 %.
    worst_ratio, worst_error : float, optional
        Of the bin with enough events that is off the most; None if none has enough.
    """

    name: str
    title: str
    bins: int
    enough: int
    off: int
    worst_ratio: float | None
    worst_error: float | None


@dataclass(frozen=True)
class ClosedAnalysis:
    """How the model of an analysis closes.

    Attributes
    ----------
    events, gen_events, passing : int
        Those that the closure is of.
    closes : bool, optional
        Whether no bin with enough events is off by more than 5 %; None if no bin has enough.
    rate : ClosedVariable
        Of the events that pass.
    correlation, pair : float, tuple of str
        Largest difference of a rank correlation, and of which two variables.
    report : Path
        Figures of every bin.
    pictures : tuple of Path
    notes : tuple of str
        What a reader should know beside the figures.
    """

    events: int
    gen_events: int
    passing: int
    closes: bool | None
    rate: ClosedVariable
    variables: tuple[ClosedVariable, ...]
    correlation: float
    pair: tuple[str, str]
    report: Path
    pictures: tuple[Path, ...]
    notes: tuple[str, ...]

    @property
    def all_bins(self) -> tuple[ClosedVariable, ...]:
        """The rate, and the variables."""
        return (self.rate, *self.variables)

    @property
    def error(self) -> FidelityError | MeasurementError | None:
        """The error that tells what does not close, or that nothing could be judged; None if all closes."""
        if self.closes is None:
            return MeasurementError(
                f"nothing could be judged: no bin has enough events, {self.events:,} of {self.gen_events:,} "
                f"generator events, {self.passing:,} of which pass; give more files; see {self.report}"
            )
        off = [one for one in self.all_bins if one.off]
        if not off:
            return None
        worst = max(off, key=lambda one: abs((one.worst_ratio or 1.0) - 1))
        return FidelityError(
            f"{sum(one.off for one in off)} of {sum(one.enough for one in self.all_bins)} bins with enough "
            f"events are off by more than 5 %, the most in {worst.name}: {worst.worst_ratio:.3f} +- "
            f"{worst.worst_error:.3f}; see {self.report}"
        )


@dataclass(frozen=True)
class TrainedAnalysis(ClosedAnalysis):
    """What came of a training; the closure is of held-out events."""

    bundle: BundleSummary


def train_analysis(
    config: Path,
    files: Sequence[str],
    options: AnalysisOptions,
    *,
    work: Path | None,
    output: Path | None,
    progress: Progress,
) -> TrainedAnalysis:
    """Train the model of an analysis, measure its closure, and make a bundle of it.

    Parameters
    ----------
    config : Path
    files : sequence of str
        NANOAOD with both levels; those of the configuration by default.
    work : Path, optional
        Folder for what a training leaves, that goes on from there if it is interrupted.
    output : Path, optional
        Folder of the bundle.

    Raises
    ------
    ConfigError
        If the configuration is none: an unknown key or column, an expression of anything else.
    InputError
        If no event passes, a file cannot be read, or the work folder is of another analysis.
    BundleError
        If there is something where the bundle is to be written.
    LockedError
        If another command trains in the work folder.
    """
    from flashsim_prod.physics.analysis.closure import close
    from flashsim_prod.physics.analysis.model import Regression
    from flashsim_prod.physics.analysis.networks import with_digests
    from flashsim_prod.physics.analysis.training import (
        BUNDLE,
        CLOSURE,
        bundle_of,
        fit_analysis,
        note_analysis,
        parts_of,
        refuse_other_analysis,
        start_over,
    )
    from flashsim_prod.physics.chain.device import pick_device
    from flashsim_prod.physics.chain.writing import refuse_taken

    found = read_config(config)
    analysis = with_digests(found.analysis(), config.parent, str(config))
    regression = Regression(analysis, str(config), config.parent)
    # what every file would fail at
    regression.needs  # noqa: B018
    for idle in regression.idle_networks:
        raise ConfigError(
            f"{config}: networks.{idle}: no variable and no selection asks for its output, or one of that "
            "name stands before; leave it out, or add a variable: {value: " + idle + ", title: ...}"
        )
    wanted = tuple(files) or tuple(
        str(config.parent / one) if "://" not in one else one for one in found.files
    )
    if not wanted:
        raise RequestError(f"{config}: no files to learn from; name them behind it, or as files: [...]")
    work = work or Path(f"{found.name}_work")
    target = output or work / BUNDLE
    device = pick_device(options.device, threads=options.threads)
    with alone_making(work, "training", f"trains in {work}"), storage_errors(f"writing {work}"):
        if options.anew:
            start_over(work)
        refuse_other_analysis(regression.analysis, work, quick=options.quick)
        refuse_taken(target)
        note_analysis(regression.analysis, work, quick=options.quick)
        parts = parts_of(regression, wanted, work, progress)
        fitted = fit_analysis(regression, parts, work, quick=options.quick, device=device, progress=progress)
        closure = close(regression, fitted, parts.held_out)
        told = _written(closure, work / CLOSURE)
        bundle = bundle_of(regression, parts, work, target)
    return TrainedAnalysis(**told, bundle=summary(bundle))


def close_analysis(
    name: str,
    files: Sequence[str],
    *,
    networks: Path,
    output: Path,
    device: Device = Device.AUTO,
    threads: int = 1,
    progress: Progress,
) -> ClosedAnalysis:
    """Measure how the bundle of an analysis closes on events that it did not learn from.

    Parameters
    ----------
    name : str
        Name or path of the bundle.
    files : sequence of str
        NANOAOD with both levels.
    networks : Path
        Folder with the files of the analysis' own networks, if it has such.
    output : Path
        Folder for figures and pictures.

    Raises
    ------
    BundleError
        If it is no bundle of an analysis.
    ConfigError
        If one of its networks is not in `networks`, or another one.
    InputError
        If no event passes, or a file cannot be read.
    """
    from flashsim_prod.physics.analysis.closure import close
    from flashsim_prod.physics.analysis.producer import AnalysisProducer
    from flashsim_prod.physics.analysis.training import learned_from, whole_sample
    from flashsim_prod.physics.chain.bundle import find_bundle, load_bundle
    from flashsim_prod.physics.chain.device import pick_device

    bundle = load_bundle(find_bundle(name))
    own = {} if bundle.manifest.analysis is None else bundle.manifest.analysis.networks
    for network, one in own.items():
        if not (networks / one.file).is_file():
            raise ConfigError(
                f"{bundle.path}: the output of the network {network} is to be compared, but its file "
                f"{one.file} is not in {networks.absolute()}; say where it is: --networks FOLDER"
            )
    producer = AnalysisProducer(bundle, device=pick_device(device, threads=threads))
    regression = replace(producer.regression, folder=networks)
    sample, _ = whole_sample(regression, files, progress)
    closure = close(regression, producer.fitted, sample)
    with storage_errors(f"writing {output}"):
        notes = tuple(
            f"{name} is named in the bundle's training sample: its events are not held out"
            for name in learned_from(bundle.manifest.training_sample, files)
        )
        return ClosedAnalysis(**_written(closure, output, notes))


def _written(closure: Closure, folder: Path, notes: tuple[str, ...] = ()) -> dict[str, Any]:
    """What `ClosedAnalysis` tells of a closure, with its figures and pictures in a folder."""
    from flashsim_prod.physics.analysis.pictures import draw

    report = folder / "closure.json"
    folder.mkdir(parents=True, exist_ok=True)
    write_json(report, _figures(closure))
    return {
        "events": closure.events,
        "gen_events": closure.gen_events,
        "passing": closure.passing,
        "closes": closure.closes,
        "rate": _closed(closure.rate),
        "variables": tuple(map(_closed, closure.variables)),
        "correlation": closure.correlations,
        "pair": closure.pair,
        "report": report,
        "pictures": draw(closure, folder),
        "notes": notes,
    }


def read_config(path: Path) -> AnalysisConfig:
    """The configuration in a file; `ConfigError` if it is none."""
    try:
        text = read_text(path)
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise ConfigError(f"{path}: cannot be read: {why}") from error
    return AnalysisConfig.from_yaml(text, str(path))


def _closed(one: Bins) -> ClosedVariable:
    worst = one.worst
    return ClosedVariable(
        one.name,
        one.title,
        len(one.truth),
        int(one.enough.sum()),
        int(one.off.sum()),
        None if worst is None else float(one.ratio[worst]),
        None if worst is None else float(one.error[worst]),
    )


def _figures(closure: Closure) -> dict[str, Any]:
    """All bins, for programs."""
    return {
        "events": closure.events,
        "gen_events": closure.gen_events,
        "passing": closure.passing,
        "closes": closure.closes,
        "rank_correlation_difference": closure.correlations,
        "of": closure.pair,
        "bins": {
            one.name: {
                key: getattr(one, key).tolist()
                for key in ("edges", "truth", "model", "ratio", "error", "gen_events")
            }
            for one in (closure.rate, *closure.variables)
        },
    }
