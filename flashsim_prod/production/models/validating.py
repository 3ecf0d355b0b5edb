"""Validations that make their own samples: of uncertainties, and of analyses with the models of a bundle."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flashsim_prod.core.choices import Device
from flashsim_prod.core.strict import nearest
from flashsim_prod.errors import FidelityError, RequestError
from flashsim_prod.production.order.library import find_card

if TYPE_CHECKING:
    from flashsim_prod.physics.validation.analyses.comparison import AnalysisComparison as AnalysisComparison
    from flashsim_prod.physics.validation.analyses.selections import Analysis
    from flashsim_prod.physics.validation.proof.proof import ProofOfProcess as ProofOfProcess

#: called with what is being done, how much of it is done and how much there is
Progress = Callable[[str, int, int], None]

#: below the folder of a page, where generator events are kept
_GENERATED = "generated"


@dataclass(frozen=True)
class Proven:
    """What came of a proof, process by process, and the page about it."""

    found: tuple[ProofOfProcess, ...]
    page: Path

    def figures(self) -> dict[str, Any]:
        """What is printed as JSON."""
        from flashsim_prod.physics.validation.proof.page import figures

        return figures(self.found)

    @property
    def error(self) -> FidelityError | None:
        """The error that tells that something is not proven, if so."""
        if all(one.is_proven for one in self.found):
            return None
        return FidelityError(f"the uncertainties are not proven right in every observable; see {self.page}")


@dataclass(frozen=True)
class Compared:
    """What came of analyses, and the page about it."""

    found: tuple[AnalysisComparison, ...]
    page: Path

    def figures(self) -> dict[str, Any]:
        """What is printed as JSON."""
        from flashsim_prod.physics.validation.analyses.page import figures

        return figures(self.found)

    @property
    def error(self) -> FidelityError | None:
        """The error that tells which analyses differ, if any do."""
        red = [one.analysis.name for one in self.found if one.light == "red"]
        if not red:
            return None
        return FidelityError(f"FlashSim and the reference differ in {', '.join(red)}; see {self.page}")


def prove_uncertainties(
    cards: Sequence[str],
    output: Path,
    *,
    n_gen: int,
    n_events: int,
    factors: Sequence[int],
    n_toys: int,
    seed: int,
    progress: Progress,
) -> Proven:
    """Prove the uncertainties of oversampling with toys of some processes, and write a page about it.

    Parameters
    ----------
    cards : sequence of str
        Names or files.
    output : Path
        Folder of the page.
    n_gen, n_events, factors, n_toys, seed, progress
        As for `run_proof`.

    Raises
    ------
    RequestError
        If there is no such card.
    NodeError
        If what draws the page is not installed.
    """
    from flashsim_prod.physics.validation.drawing.libraries import check_libraries

    check_libraries()
    found = [find_card(card) for card in cards]
    # which needs these libraries
    from flashsim_prod.physics.validation.proof.page import write_proof
    from flashsim_prod.physics.validation.proof.proof import run_proof

    made = [
        run_proof(
            card,
            output / _GENERATED,
            n_gen=n_gen,
            n_events=n_events,
            factors=factors,
            n_toys=n_toys,
            seed=seed,
            progress=progress,
        )
        for card in found
    ]
    return Proven(tuple(made), write_proof(made, output))


def run_analyses(
    names: Sequence[str],
    bundle: str,
    output: Path,
    *,
    device: Device,
    n_gen: int,
    folds: int,
    seed: int,
    progress: Progress,
) -> Compared:
    """Run analyses with the models of a bundle and with the reference detector; write a page about it.

    Parameters
    ----------
    names : sequence of str
        Of analyses; all by default.
    bundle : str
        Name of a shipped one, or a folder.
    output : Path
        Folder of the page.
    device : Device
        ``auto``, ``cpu`` or ``cuda``.
    n_gen, folds, seed, progress
        As for `compare_analysis`.

    Raises
    ------
    RequestError
        If there is no such analysis.
    NodeError
        If what draws the page is not installed.
    """
    from flashsim_prod.physics.validation.drawing.libraries import check_libraries

    check_libraries()
    # which needs these libraries
    from flashsim_prod.physics.chain.bundle import find_bundle, load_bundle
    from flashsim_prod.physics.chain.chain import Chain
    from flashsim_prod.physics.chain.device import pick_device
    from flashsim_prod.physics.validation.analyses.comparison import compare_analysis
    from flashsim_prod.physics.validation.analyses.page import write_analyses

    chosen = _chosen(names)
    loaded, where = load_bundle(find_bundle(bundle)), pick_device(device)
    made = [
        compare_analysis(
            one,
            [find_card(process.card) for process in one.processes],
            Chain(loaded, device=where, branches=one.needs),
            output / _GENERATED,
            n_gen=n_gen,
            folds=folds,
            seed=seed,
            progress=progress,
        )
        for one in chosen
    ]
    return Compared(tuple(made), write_analyses(made, output))


def _chosen(names: Sequence[str]) -> list[Analysis]:
    from flashsim_prod.physics.validation.analyses.selections import ANALYSES

    known = {one.name: one for one in ANALYSES}
    for name in names:
        if name not in known:
            raise RequestError(f"no analysis '{name}'{nearest(name, list(known))}")
    return [one for one in ANALYSES if not names or one.name in names]
