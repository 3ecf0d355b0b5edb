"""What a validation needs of more than one wing: cards, bundles and physics."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from flashsim_prod.core.choices import Device
from flashsim_prod.core.strict import nearest
from flashsim_prod.errors import RequestError
from flashsim_prod.production.order.library import find_card

if TYPE_CHECKING:
    from flashsim_prod.physics.validation.analyses.comparison import AnalysisComparison
    from flashsim_prod.physics.validation.analyses.selections import Analysis


def run_analyses(
    names: Sequence[str],
    bundle: str,
    folder: Path,
    *,
    device: Device,
    n_gen: int,
    folds: int,
    seed: int,
    progress: Callable[[str, int, int], None],
) -> list[AnalysisComparison]:
    """Run analyses with the models of a bundle and with the reference detector.

    Parameters
    ----------
    names : sequence of str
        Of analyses; all by default.
    bundle : str
        Name of a shipped one, or a folder.
    folder : Path
        Where generator events are kept.
    device : Device
        ``auto``, ``cpu`` or ``cuda``.
    n_gen, folds, seed, progress
        As for `compare_analysis`.

    Raises
    ------
    RequestError
        If there is no such analysis.
    """
    from flashsim_prod.physics.chain.bundle import find_bundle, load_bundle
    from flashsim_prod.physics.chain.chain import Chain
    from flashsim_prod.physics.chain.device import pick_device
    from flashsim_prod.physics.validation.analyses.comparison import compare_analysis

    chosen = _chosen(names)
    loaded, where = load_bundle(find_bundle(bundle)), pick_device(device)
    return [
        compare_analysis(
            one,
            [find_card(process.card) for process in one.processes],
            Chain(loaded, device=where, branches=one.needs),
            folder,
            n_gen=n_gen,
            folds=folds,
            seed=seed,
            progress=progress,
        )
        for one in chosen
    ]


def _chosen(names: Sequence[str]) -> list[Analysis]:
    from flashsim_prod.physics.validation.analyses.selections import ANALYSES

    known = {one.name: one for one in ANALYSES}
    for name in names:
        if name not in known:
            raise RequestError(f"no analysis '{name}'{nearest(name, list(known))}")
    return [one for one in ANALYSES if not names or one.name in names]
