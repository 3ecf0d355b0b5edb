"""Bundles as folders: written when they are whole, and copied file by file."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from flashsim_prod.errors import BundleError
from flashsim_prod.files import appearing_folder, write_whole
from flashsim_prod.physics.chain.bundle import MANIFEST, Bundle, Manifest, load_bundle


def save_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest, the last file of a bundle to be written."""
    write_whole(folder / MANIFEST, _as_ever(manifest) + "\n")


def _as_ever(manifest: Manifest) -> str:
    """A manifest as JSON; without a word of analyses and eras where there is none, as it has ever been."""
    none = {name for name in ("analysis", "era") if getattr(manifest, name) is None}
    return manifest.model_dump_json(indent=1, exclude=none)


def write_bundle(target: Path, manifest: Manifest, weights: Mapping[str, Sequence[Path]]) -> Bundle:
    """A bundle in the new folder `target`, which appears when it is whole.

    Parameters
    ----------
    target : Path
    manifest : Manifest
    weights : mapping of str to sequence of Path
        The files of each model, as `Bundle.weights` has them; they are copied.

    Raises
    ------
    BundleError
        If `target` exists, or a file is not the one that the manifest names.
    """
    with appearing_folder(target, _taken(target)) as folder:
        for model, entry in manifest.models.items():
            for source, file in zip(weights[model], entry.files, strict=True):
                shutil.copyfile(source, folder / file)
        save_manifest(folder, manifest)
        made = load_bundle(folder)
    return replace(made, path=target)


def copy_bundle(bundle: Bundle, target: Path) -> Bundle:
    """The same bundle, of the same digest, in the new folder `target`; `BundleError` if that exists."""
    with appearing_folder(target, _taken(target)) as folder:
        for name in files_of(bundle.manifest):
            shutil.copyfile(bundle.path / name, folder / name)
        copied = load_bundle(folder)
    return replace(copied, path=target)


def files_of(manifest: Manifest) -> list[str]:
    """Names of all files of a bundle, the manifest first."""
    return [MANIFEST, *sorted({file for entry in manifest.models.values() for file in entry.files})]


def refuse_taken(target: Path) -> None:
    """`BundleError` if there is something where a bundle is to be written."""
    if target.exists():
        raise _taken(target)


def _taken(target: Path) -> BundleError:
    return BundleError(f"{target} exists; give another folder, or remove it")
