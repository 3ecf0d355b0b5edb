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

_SHA256 = r"^[0-9a-f]{64}$"


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

    evaluations: int = Field(ge=1, le=1000, description="Euler steps that the student takes, evenly spaced")
    taken: bool = Field(description="whether the weights are the student's; else they are the teacher's")
    teacher: str = Field(pattern=_SHA256, description="sha256 of the teacher's file of weights")
    bundle: str = Field(description="name of the bundle that the teacher is of")
    bundle_digest: str = Field(pattern=_SHA256)
    judgement: Judgement
    training: dict[str, float | int | str] = Field(
        default_factory=dict, description="how the student was trained"
    )

    @model_validator(mode="after")
    def _only_good_students_are_taken(self) -> Self:
        if self.taken and self.judgement.worse:
            raise ValueError(f"a student that is worse in {self.judgement.worse[0]} cannot be taken")
        return self

    @property
    def sampling(self) -> Sampling | None:
        """How the weights are to be integrated, whatever is asked for; None if they are the teacher's."""
        return steps_of(self.evaluations) if self.taken else None


def steps_of(evaluations: int) -> Sampling:
    """The steps of a student of so many evaluations."""
    return Sampling(solver=Solver.EULER, evaluations=evaluations)


def students(models: Mapping[str, ModelEntry]) -> dict[str, Distilled]:
    """Those of some models whose weights are a student's, by name."""
    found = {name: entry.distilled for name, entry in models.items()}
    return {name: one for name, one in found.items() if one is not None and one.taken}


def told_students(models: Mapping[str, ModelEntry]) -> str:
    """How many of some models draw in how many steps of their own, in words; empty if none does."""
    numbers = [one.evaluations for one in students(models).values()]
    parts = [
        f"{numbers.count(steps)} of {len(models)} models in {steps} step{'' if steps == 1 else 's'} of Euler"
        for steps in sorted(set(numbers))
    ]
    return f"students: {', '.join(parts)}" if parts else ""


def teachers_told(models: Mapping[str, ModelEntry]) -> tuple[str, ...]:
    """The bundles that the teachers of students are of, each with its digest's beginning."""
    return tuple(sorted({f"{one.bundle} ({one.bundle_digest[:12]})" for one in students(models).values()}))
