"""What a manifest says of a student: a flow that takes a few steps where its teacher takes many."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field, model_validator

from flashsim_prod.core.choices import Solver
from flashsim_prod.core.options import Sampling
from flashsim_prod.core.strict import StrictModel

if TYPE_CHECKING:
    from flashsim_prod.physics.chain.bundle import ModelEntry


class Judgement(StrictModel):
    """Whether a student draws no worse than its teacher, and what that was judged by."""

    against: Literal["reference", "teacher"] = Field(
        description="rows of tables, which both are compared with, or the teacher's own draws"
    )
    objects: int = Field(ge=1, description="compared with, one draw each")
    held_out: int = Field(ge=0, description="of them, known to be none that the teacher learned from")
    auc: float = Field(description="of a classifier that sees conditions and targets: 0.5 is alike")
    auc_error: float = Field(ge=0)
    teacher_auc: float = Field(description="the same of the teacher; of two of its own draws, if it is asked")
    teacher_auc_error: float = Field(ge=0)
    tails: int = Field(ge=0, description="shares beyond quantiles of 1 % and 99 % that were compared")
    categories: int = Field(ge=0, description="shares of whole numbers, flags and spikes, likewise")
    worse: tuple[str, ...] = Field(default=(), description="what the student does worse, none if nothing")


class Distilled(StrictModel):
    """What came of distilling one model: its student, or the teacher that could not be replaced."""

    evaluations: int = Field(ge=1, le=1000, description="of the network, that the student draws in")
    solver: Solver = Field(default=Solver.EULER, description="of the even steps that these make")
    file: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9_\-]+\.e[0-9]+\.safetensors$",
        description="the student's own weights, which take the place of its teacher's; none if it was worse",
    )
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$", description="of that file")
    judgement: Judgement
    training: dict[str, float | int | str] = Field(
        default_factory=dict, description="how the student was trained"
    )

    @model_validator(mode="after")
    def _only_good_students_are_taken(self) -> Self:
        if (self.file is None) != (self.sha256 is None):
            raise ValueError("file and sha256 go together: both of a student that is taken, else none")
        if self.taken and self.judgement.worse:
            raise ValueError(f"a student that is worse in {self.judgement.worse[0]} cannot be taken")
        return self

    @property
    def taken(self) -> bool:
        """Whether the model draws with the student; else its teacher goes on."""
        return self.file is not None

    @property
    def sampling(self) -> Sampling | None:
        """How the student is integrated, whatever is asked for; None if the teacher goes on."""
        return Sampling(solver=self.solver, evaluations=self.evaluations) if self.taken else None


def steps_of(evaluations: int) -> Sampling:
    """The steps of a new student of so many evaluations: of second order, where there can be.

    In these a teacher, untaught, comes some twenty times as near to where it ends as in Euler's.
    """
    solver = Solver.MIDPOINT if evaluations % 2 == 0 else Solver.AB2 if evaluations > 1 else Solver.EULER
    return Sampling(solver=solver, evaluations=evaluations)


def students(models: Mapping[str, ModelEntry]) -> dict[str, Distilled]:
    """Those of some models that draw with a student, by name."""
    found = {name: entry.distilled for name, entry in models.items()}
    return {name: one for name, one in found.items() if one is not None and one.taken}


def told_students(models: Mapping[str, ModelEntry]) -> str:
    """How many of some models draw in how many steps of their own, in words; empty if none does."""
    numbers = [one.evaluations for one in students(models).values()]
    parts = [
        f"{numbers.count(one)} of {len(models)} models in {one} evaluation{'' if one == 1 else 's'}"
        for one in sorted(set(numbers))
    ]
    return f"students: {', '.join(parts)}" if parts else ""


def student_name(model: str, evaluations: int) -> str:
    """What the file of a student's own weights is called, before its ending."""
    return f"{model}.e{evaluations}"
