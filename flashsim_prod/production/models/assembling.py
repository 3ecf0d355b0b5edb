"""Fitted models put together as a bundle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from flashsim_prod.errors import BundleError
from flashsim_prod.production.models.bundles import BundleSummary, open_bundle, summary


@dataclass(frozen=True)
class AssembledBundle:
    """A bundle that was made.

    Attributes
    ----------
    own_models : tuple of str
        Those that were fitted.
    fits : Path
        Where.
    base : str, optional
        The bundle that the others came from.
    era : str
        Data-taking period that the models stand for; empty if nothing told it.
    mixtures : tuple of str
        Lines on models of several reference detectors, or of another one than the tables in the folder.
    """

    bundle: BundleSummary
    own_models: tuple[str, ...]
    fits: Path
    base: str | None
    era: str = ""
    mixtures: tuple[str, ...] = ()


def assemble_bundle(
    work: Path,
    output: Path,
    *,
    name: str | None = None,
    title: str | None = None,
    tag: str | None = None,
    sample: Sequence[str] = (),
    base: str | None = None,
    reports: Sequence[Path] = (),
    tells_base: bool = False,
) -> AssembledBundle:
    """Put the fitted models of the folder `work` together as a bundle in the new folder `output`.

    Parameters
    ----------
    name, title, tag : str, optional
        Of the bundle; without a fitted model it stays the bundle that it is.
    sample : sequence of str
        What the models were trained on, a line each; by default the names of the tables.
    base : str, optional
        Name or path of the bundle that models not fitted come from.
    reports : sequence of Path
        Fidelity reports on these very weights, to be recorded.
    tells_base : bool
        Whether `title` is followed by how many models are of the base.

    Raises
    ------
    BundleError
        If there is nothing to make a bundle of, or a fit is of another declaration, or `output` is there.
    """
    from flashsim_prod.physics.chain.detectors import told_several
    from flashsim_prod.physics.training.assemble import ENTRY, build_bundle, fits_unlike_tables
    from flashsim_prod.physics.training.tuning.folder import begun_as

    folder = work / "fits"
    fits = {path.parent.name: path.parent for path in sorted(folder.glob(f"*/{ENTRY}"))}
    found = open_bundle(base) if base is not None else None
    if not fits and found is None:
        raise BundleError(f"{folder}: no fitted model; run 'flashsim-prod train all' first")
    if not fits and reports and (name or title or tag):
        raise BundleError(
            f"{folder}: no fitted model, so this is {base} under another name; leave out --name, "
            "--title and --tag to record a report in it, or fit models first"
        )
    others = 0 if found is None else len(found.manifest.models.keys() - fits.keys())
    if title and tells_base and others:
        title = f"{title}; {others} models of {base}"
    # with no model of one's own it stays the bundle that it is
    same = found.manifest if found is not None and not fits else None
    made = build_bundle(
        fits,
        output,
        name=name or (same.name if same else "custom"),
        title=title or (same.title if same else "Models trained by the user"),
        tag=tag or (same.tag if same else "Custom"),
        training_sample=(*(sample or _tables_of(work)), *begun_as(work, sorted(fits))),
        base=found,
        reports=tuple(reports),
    )
    lines = (*told_several(made.manifest.models, str(output)), *fits_unlike_tables(work))
    return AssembledBundle(summary(made), tuple(sorted(fits)), folder, base, made.manifest.era or "", lines)


def _tables_of(work: Path) -> list[str]:
    """The files that the tables were drawn from: their names, which events, and what these counted for."""
    from flashsim_prod.physics.training.table import drawn_from

    found = [(path.stem, drawn_from(path)) for path in (work / "tables").glob("*/*.safetensors")]
    # of one file, models may have learned from parts of their own
    return sorted({stem if one is None else one.told() for stem, one in found})
