"""Model bundles: which there are, whether they are whole, and those of one's own brought in and out."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from flashsim_prod import resources
from flashsim_prod.errors import BundleError
from flashsim_prod.files import storage_errors
from flashsim_prod.production.home import open_home

if TYPE_CHECKING:
    from flashsim_prod.physics.chain.bundle import Bundle


@dataclass(frozen=True)
class BundleSummary:
    """A bundle in a line.

    Attributes
    ----------
    path : Path
        Its folder.
    models : int
        How many object models it has.
    """

    path: Path
    name: str
    digest: str
    models: int
    title: str


@dataclass(frozen=True)
class ExportedBundle:
    """A bundle that was written as one file.

    Attributes
    ----------
    file : Path
    bytes : int
        Size of the file.
    """

    bundle: BundleSummary
    file: Path
    bytes: int


@dataclass(frozen=True)
class ImportedBundle:
    """A bundle in the state folder.

    Attributes
    ----------
    is_new : bool
        Whether it was not there before.
    own_models : tuple of str
        Those that did not come from the base.
    base : str, optional
        Where the others came from.
    mixtures : tuple of str
        A line on models of several reference detectors.
    """

    bundle: BundleSummary
    is_new: bool
    own_models: tuple[str, ...]
    base: str | None
    mixtures: tuple[str, ...] = ()


def summary(bundle: Bundle) -> BundleSummary:
    """`bundle` in a line."""
    models = len(bundle.manifest.models)
    return BundleSummary(bundle.path, bundle.name, bundle.digest, models, bundle.title)


def open_bundle(name_or_path: str) -> Bundle:
    """A shipped or imported bundle by name, or any other by its folder; every digest is checked.

    Raises
    ------
    BundleError
        If there is none, or it is not as it was made.
    """
    from flashsim_prod.physics.chain.bundle import find_bundle, load_bundle

    return load_bundle(find_bundle(name_or_path))


def named_bundles() -> list[BundleSummary]:
    """The bundles that requests find by name, those that came with the package first."""
    from flashsim_prod.physics.chain.bundle import imported_bundles, shipped_bundles

    return [summary(open_bundle(name)) for name in (*shipped_bundles(), *imported_bundles())]


def verify_bundle(name_or_path: str) -> BundleSummary:
    """Check every digest of a bundle, and that this software can run it.

    Raises
    ------
    BundleError
        Naming what is amiss.
    """
    found = open_bundle(name_or_path)
    _refuse_what_cannot_run(found)
    return summary(found)


def import_bundle(source: Path, *, base: str | None = None) -> ImportedBundle:
    """Bring a bundle into the state folder, where requests find it by its name.

    Parameters
    ----------
    source : Path
        Its folder, or a tar archive of that.
    base : str, optional
        Name or path of a bundle to take those models from that it lacks.

    Raises
    ------
    BundleError
        If this software cannot run it, or another bundle has its name.
    StorageError
        If the state folder cannot be written.
    """
    from flashsim_prod.physics.chain.detectors import told_several
    from flashsim_prod.physics.chain.writing import copy_bundle

    open_home()
    folder = resources.imported_bundles_dir()
    with storage_errors(f"importing {source}"):
        folder.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".import-") as scratch:
            found, own = _checked(source, base, Path(scratch))
            there = _there_already(found)
            made = there or copy_bundle(found, folder / found.name)
    lines = told_several(made.manifest.models, made.name)
    return ImportedBundle(summary(made), there is None, own, base, lines)


def _there_already(found: Bundle) -> Bundle | None:
    """The same bundle under its name, if there is one; `BundleError` if that is another one."""
    from flashsim_prod.physics.chain.bundle import load_bundle, shipped_bundles

    is_shipped = found.name in shipped_bundles()
    folder = resources.bundles_dir() if is_shipped else resources.imported_bundles_dir()
    target = folder / found.name
    if not target.exists():
        return None
    there = load_bundle(target)
    if there.digest != found.digest:
        raise BundleError(
            f"{target} is another bundle called {found.name} (digest {there.digest[:12]}..., not "
            f"{found.digest[:12]}...); give this one a name of its own in its manifest"
        )
    return there


def _checked(source: Path, base: str | None, scratch: Path) -> tuple[Bundle, tuple[str, ...]]:
    """The bundle in `source`, completed from `base`, if this software can run it; and its own models."""
    from flashsim_prod.physics.chain.archive import unpack
    from flashsim_prod.physics.chain.bundle import load_bundle
    from flashsim_prod.physics.chain.combine import completed

    if not source.exists():
        raise BundleError(f"{source}: no such folder or file")
    unpacked = scratch / "unpacked"
    unpacked.mkdir()
    found = load_bundle(source.absolute()) if source.is_dir() else unpack(source, unpacked)
    own = tuple(sorted(found.manifest.models))
    if base is not None:
        found = completed(found, open_bundle(base), scratch / "completed")
    _refuse_what_cannot_run(found)
    return found, own


def _refuse_what_cannot_run(bundle: Bundle) -> None:
    from flashsim_prod.physics.analysis.producer import AnalysisProducer
    from flashsim_prod.physics.chain.chain import Chain
    from flashsim_prod.physics.chain.compatibility import check_needs
    from flashsim_prod.physics.chain.distilled import students

    if bundle.manifest.analysis is not None:
        AnalysisProducer(bundle).regression.needs  # noqa: B018
        return
    Chain(bundle)
    if students(bundle.manifest.models):
        Chain(bundle.of_teachers)
    check_needs(bundle)


def export_bundle(name_or_path: str, output: Path | None) -> ExportedBundle:
    """Write a bundle as one file, ``NAME.tar`` in this folder by default.

    Raises
    ------
    BundleError
        If there is no such bundle, or another file has that name.
    StorageError
        If it cannot be written.
    """
    from flashsim_prod.physics.chain.archive import pack

    found = open_bundle(name_or_path)
    target = output or Path(f"{found.name}.tar")
    pack(found, target)
    return ExportedBundle(summary(found), target, target.stat().st_size)


def bundle_card(name_or_path: str) -> str:
    """The model card of a bundle, as Markdown; `BundleError` if there is no such bundle, or not all of it."""
    from flashsim_prod.physics.chain.model_card import model_card

    return model_card(open_bundle(name_or_path))
