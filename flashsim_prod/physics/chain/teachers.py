"""What a bundle with students draws by: these, or their teachers, in as many steps as are asked for."""

from __future__ import annotations

from flashsim_prod.core.options import Sampling
from flashsim_prod.physics.chain.bundle import Bundle
from flashsim_prod.physics.chain.distilled import Distilled, students


def drawn_with(bundle: Bundle, wanted: Sampling | None) -> tuple[Bundle, Sampling]:
    """The models of a bundle that draw as is wanted, and the steps of those that have none of their own.

    Students draw where nothing is wanted, or just the evaluations that they take; else their teachers, and
    the sampling says so.
    """
    found = students(bundle.manifest.models)
    if wanted is None or not found:
        return bundle, (wanted or Sampling()).model_copy(update={"teachers": False})
    if not wanted.teachers and all(_is_asked(wanted, one) for one in found.values()):
        return bundle, Sampling()
    return bundle.of_teachers, wanted.model_copy(update={"teachers": True})


def _is_asked(sampling: Sampling, student: Distilled) -> bool:
    """Whether what is asked for is what a student takes; nobody says --solver to have a student."""
    solvers = (Sampling().solver, student.solver)
    is_alike = sampling.grid_power == 1 and sampling.solver in solvers
    return is_alike and sampling.evaluations == student.evaluations
