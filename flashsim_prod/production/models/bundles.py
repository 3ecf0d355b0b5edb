"""Model bundles of one's own: brought into the state folder, and out of it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from flashsim_prod import resources
from flashsim_prod.errors import BundleError
from flashsim_prod.files import storage_errors
from flashsim_prod.production.home import open_home

if TYPE_CHECKING:
    from flashsim_prod.physics.chain.bundle import Bundle


def import_bundle(source: Path, *, base: str | None = None) -> tuple[Bundle, bool]:
    """Bring a bundle into the state folder, where requests find it by its name.

    Parameters
    ----------
    source : Path
        Its folder, or a tar archive of that.
    base : str, optional
        Name or path of a bundle to take those models from that it lacks.

    Returns
    -------
    Bundle
        The imported one.
    bool
        Whether it was not there before.

    Raises
    ------
    BundleError
        If this software cannot run it, or another bundle has its name.
    StorageError
        If the state folder cannot be written.
    """
    from flashsim_prod.physics.chain.bundle import copy_bundle, load_bundle, shipped_bundles

    open_home()
    folder = resources.imported_bundles_dir()
    with storage_errors(f"importing {source}"):
        folder.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".import-") as scratch:
            found = _checked(source, base, Path(scratch))
            target = folder / found.name
            if found.name in shipped_bundles():
                target = resources.bundles_dir() / found.name
            if target.exists():
                there = load_bundle(target)
                if there.digest == found.digest:
                    return there, False
                raise BundleError(
                    f"{target} is another bundle called {found.name} (digest {there.digest[:12]}..., not "
                    f"{found.digest[:12]}...); give this one a name of its own in its manifest"
                )
            return copy_bundle(found, target), True


def _checked(source: Path, base: str | None, scratch: Path) -> Bundle:
    """The bundle in `source`, completed from `base`, if this software can run it."""
    from flashsim_prod.physics.chain.archive import unpack
    from flashsim_prod.physics.chain.bundle import find_bundle, load_bundle
    from flashsim_prod.physics.chain.chain import Chain
    from flashsim_prod.physics.chain.combine import completed
    from flashsim_prod.physics.chain.compatibility import check_needs

    if not source.exists():
        raise BundleError(f"{source}: no such folder or file")
    unpacked = scratch / "unpacked"
    unpacked.mkdir()
    found = load_bundle(source.absolute()) if source.is_dir() else unpack(source, unpacked)
    if base is not None:
        found = completed(found, load_bundle(find_bundle(base)), scratch / "completed")
    Chain(found)
    check_needs(found)
    return found


def export_bundle(bundle: Bundle, output: Path | None) -> Path:
    """Write `bundle` as one file, ``NAME.tar`` in this folder by default; returns where it is.

    Raises
    ------
    BundleError
        If another file has that name.
    StorageError
        If it cannot be written.
    """
    from flashsim_prod.physics.chain.archive import pack

    target = output or Path(f"{bundle.name}.tar")
    pack(bundle, target)
    return target


def bundle_card(name_or_path: str) -> str:
    """The model card of a bundle, as Markdown; `BundleError` if there is no such bundle, or not all of it."""
    from flashsim_prod.physics.chain.bundle import find_bundle, load_bundle
    from flashsim_prod.physics.chain.model_card import model_card

    return model_card(load_bundle(find_bundle(name_or_path)))
