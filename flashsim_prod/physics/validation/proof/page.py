"""The proof of oversampling as a page and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flashsim_prod import __version__
from flashsim_prod.physics.validation.dataset.page import caption
from flashsim_prod.physics.validation.drawing.pages import image, write_figures, write_page
from flashsim_prod.physics.validation.models.held_out import REFERENCE_DETECTOR
from flashsim_prod.physics.validation.proof import plots as proof_plots
from flashsim_prod.physics.validation.proof.proof import REFUTED, SHARE, Proof, ProofOfProcess

JSON_NAME = "proof.json"


def figures(found: Sequence[ProofOfProcess]) -> dict[str, Any]:
    """The contents of ``proof.json``."""
    return {
        "schema_version": 1,
        "software": f"flashsim-prod {__version__}",
        "share": SHARE,
        "proven": all(one.is_proven for one in found),
        "processes": [
            {
                "title": one.title,
                "gen_events": one.n_gen,
                "folds": one.n_folds,
                "events": one.n_events,
                "toys": one.n_toys,
                "observables": [_without_pulls(proof) for proof in one.proofs],
            }
            for one in found
        ],
    }


def _without_pulls(proof: Proof) -> dict[str, Any]:
    found = {name: getattr(proof, name) for name in proof.__dataclass_fields__ if "pulls" not in name}
    return {**found, "proven": proof.is_proven}


def _images(proof: Proof, caption: str) -> tuple[str, str]:
    """One toy, and the pulls of all."""
    return (
        image(proof_plots.example(proof, caption=caption)),
        image(proof_plots.pulls(proof, caption=caption)),
    )


def write_proof(found: Sequence[ProofOfProcess], folder: Path) -> Path:
    """Write ``proof.json`` and ``index.html`` into `folder`; the path of the latter is returned."""
    write_figures(folder, JSON_NAME, figures(found))
    line = caption(REFERENCE_DETECTOR)
    return write_page(
        folder,
        "proof.html.j2",
        found=[
            (
                one,
                image(proof_plots.gains(one.proofs, caption=line)),
                max(one.proofs, key=lambda proof: proof.naive.width, default=None),
                {proof: _images(proof, line) for proof in one.proofs},
            )
            for one in found
        ],
        proven=all(one.is_proven for one in found),
        share=SHARE,
        refuted=REFUTED,
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        software=f"flashsim-prod {__version__}",
    )
