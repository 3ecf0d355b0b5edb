"""A dataset compared with a reference, and histograms of it: what is found, and the files written of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flashsim_prod.errors import FidelityError, MeasurementError, RequestError
from flashsim_prod.files import write_whole
from flashsim_prod.production.dataset.checks import check_dataset
from flashsim_prod.production.dataset.files import DatasetFiles, find_files
from flashsim_prod.production.home import Home

if TYPE_CHECKING:
    from flashsim_prod.physics.validation.dataset.histogram import Filled as Filled
    from flashsim_prod.physics.validation.dataset.page import Validation as Validation

#: in the folder of a request whose dataset was validated
VALIDATION_FOLDER = "validation"

#: called with what is being done, how much of it is done and how much there is
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class ValidatedDataset:
    """What came of a validation.

    Attributes
    ----------
    found : Validation
    page : Path
        What was written about it.
    """

    found: Validation
    page: Path

    def summary(self) -> dict[str, Any]:
        """The verdicts alone."""
        return self.found.summary()

    @property
    def error(self) -> FidelityError | MeasurementError | None:
        """The error that tells what is red, or that nothing could be judged."""
        if self.found.light != "red":
            return None if self.found.fidelity.is_judged else MeasurementError(self._unjudged)
        groups = (
            ", ".join(group.name for group in self.found.red_groups)
            or f"whole events ({', '.join(self.found.fidelity.red_of_events)})"
        )
        worst = [*self.found.problems, groups][0]
        return FidelityError(f"{self.found.name} is red: {worst}; see {self.page}")

    @property
    def _unjudged(self) -> str:
        return (
            f"{self.found.name}: nothing could be judged, {self.found.sample.events.n:,} events of it and "
            f"{self.found.reference.events.n:,} of the reference are too few, or all alike; see {self.page}"
        )


def validate_dataset(
    home: Home,
    name: str,
    references: Sequence[str],
    *,
    output: Path | None,
    max_events: int,
    check: bool,
    catalog: str,
    scope: str,
    progress: Progress,
    figures: bool = True,
) -> ValidatedDataset:
    """Compare a dataset with reference files and write a page about it.

    Parameters
    ----------
    home : Home
    name : str
        A dataset, a request, or a file.
    references : sequence of str
        NANOAOD of the same process.
    output : Path or None
        Folder of the page; by default beside the request, where its report looks for it, or here.
    max_events : int
        Of either sample.
    check : bool
        Run the technical checks first.
    catalog, scope : str
        Which catalogue knows the dataset, and under whose name.
    progress : callable
    figures : bool
        Draw them: hundreds, most of the time that it takes.

    Raises
    ------
    RequestError
        If there is no such dataset or request.
    InputError
        If a file is damaged or not there.
    NodeError
        If what draws the page is not installed.
    """
    from flashsim_prod.physics.validation.drawing.libraries import check_libraries

    check_libraries()
    # which needs these libraries
    from flashsim_prod.physics.validation.dataset.page import validate, write_validation

    dataset = find_files(home, [name], catalog=catalog, scope=scope)
    _refuse_ntuples(dataset)
    found = validate(
        dataset.name,
        dataset.urls,
        references,
        max_events=max_events,
        progress=progress,
        problems=check_dataset(dataset, progress).all_problems if check else None,
        about=_about(dataset),
    )
    page = write_validation(found, output or _beside(home, dataset), progress, figures=figures)
    return ValidatedDataset(found, page)


def _refuse_ntuples(dataset: DatasetFiles) -> None:
    """`RequestError` if what is to be compared branch by branch is the ntuple of an analysis."""
    from flashsim_prod.physics.analysis.parquet import as_root
    from flashsim_prod.physics.analysis.schemas import ntuple_in
    from flashsim_prod.physics.nanoaod.reader import NanoFile

    with as_root(dataset.urls[0]) as path, NanoFile(path) as file:
        ntuple = ntuple_in(file.provenance(), dataset.name)
    if ntuple is not None:
        raise RequestError(
            f"{dataset.name} is the ntuple of the analysis {ntuple.name}, not NANOAOD; it is compared by "
            "the closure of 'train analysis'; 'validate check' and 'validate histogram' take it"
        )


def histograms(
    dataset: DatasetFiles,
    observables: Sequence[str],
    *,
    bins: str | None = None,
    root: Path | None = None,
    picture: Path | None = None,
    progress: Progress,
) -> list[Filled]:
    """Histograms with the uncertainties of oversampling.

    Parameters
    ----------
    dataset : DatasetFiles
    observables : sequence of str
    bins : str, optional
        ``N,LOW,HIGH``; by default bins that fit the first events.
    root : Path, optional
        ROOT file to write.
    picture : Path, optional
        PNG to draw of the first.
    progress : callable

    Raises
    ------
    RequestError
        If the files have no such observable, or `bins` are none.
    InputError
        If a file is damaged.
    """
    from flashsim_prod.physics.analysis.parquet import as_root
    from flashsim_prod.physics.validation.dataset.histogram import Binning, fill_histograms, save

    binning = Binning.parse(bins) if bins else None
    with ExitStack() as opened:
        paths = [opened.enter_context(as_root(url)) for url in dataset.urls]
        filled = fill_histograms(paths, observables, binning, progress)
    if root:
        save(filled, root)
    if picture:
        _draw(filled[0], picture)
    return filled


def _draw(filled: Filled, path: Path) -> None:
    from flashsim_prod.physics.validation.drawing.libraries import check_libraries

    check_libraries()
    from flashsim_prod.physics.validation.drawing.plots import oversampled

    write_whole(path, oversampled(filled))


def _beside(home: Home, dataset: DatasetFiles) -> Path:
    """The folder where ``report`` looks for the validation of a dataset that was made here."""
    if dataset.request is None:
        return Path(VALIDATION_FOLDER)
    return home.folder(dataset.request.name).path / VALIDATION_FOLDER


def _about(dataset: DatasetFiles) -> dict[str, str]:
    """Where a dataset that was made here comes from."""
    request = dataset.request
    if request is None:
        return {}
    return {
        "process": f"{request.card.title}, {request.energy_tev:g} TeV",
        "bundle": f"{request.bundle.path}, digest {request.bundle.digest[:12]}",
        "seed": str(request.seed),
    }
