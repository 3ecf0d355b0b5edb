"""From a bundle with students back to that of their teachers, which take as many steps as are asked for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from flashsim_prod import resources
from flashsim_prod.core.options import Sampling
from flashsim_prod.errors import BundleError
from flashsim_prod.physics.chain.bundle import MANIFEST, Bundle, Manifest, load_bundle, read_manifest
from flashsim_prod.physics.chain.distilled import students, teachers_told


def drawn_with(bundle: Bundle, sampling: Sampling | None) -> tuple[Bundle, Sampling]:
    """The bundle that draws as is asked for, and the steps of its models that have none of their own.

    That is `bundle` itself where nothing is asked for, or just the evaluations that its students take; else
    the bundle of their teachers.

    Raises
    ------
    BundleError
        If the teachers are needed and no bundle at hand has them.
    """
    found = students(bundle.manifest.models)
    if sampling is None or not found:
        return bundle, sampling or Sampling()
    if all(_is_asked(sampling, one.evaluations) for one in found.values()):
        return bundle, Sampling()
    return find_teachers(bundle), sampling


def _is_asked(sampling: Sampling, evaluations: int) -> bool:
    """Whether what is asked for is what a student takes; nobody says --solver euler to have a student."""
    return sampling.evaluations == evaluations and sampling.grid_power == 1 and sampling.solver != "ab2"


def find_teachers(bundle: Bundle) -> Bundle:
    """The bundle whose models are the teachers of `bundle`, shipped, imported or in a folder beside it.

    Raises
    ------
    BundleError
        If there is none.
    """
    wanted = {
        name: entry.distilled.teacher if entry.distilled is not None else entry.sha256
        for name, entry in bundle.manifest.models.items()
    }
    for folder in _at_hand(bundle):
        if _holds(read_manifest(folder / MANIFEST), wanted):
            return load_bundle(folder)
    known = " and ".join(teachers_told(bundle.manifest.models))
    raise BundleError(
        f"bundle {bundle.name} has students, which take steps of their own; other --evaluations are of "
        f"their teachers, and no bundle here has these: bring in {known} by 'flashsim-prod bundle import', "
        "or leave out --evaluations"
    )


def _at_hand(bundle: Bundle) -> Iterator[Path]:
    places = (resources.bundles_dir(), resources.imported_bundles_dir(), bundle.path.absolute().parent)
    for place in dict.fromkeys(places):
        for path in sorted(place.glob(f"[!.]*/{MANIFEST}")):
            yield path.parent


def _holds(manifest: Manifest, wanted: dict[str, str]) -> bool:
    return not students(manifest.models) and wanted == {
        name: entry.sha256 for name, entry in manifest.models.items()
    }
