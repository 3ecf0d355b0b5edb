"""Students that learned nothing: their teachers' own weights in a few steps, or a little beside them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from flashsim_prod.physics.chain.bundle import Bundle, own_of_student, save_model
from flashsim_prod.physics.chain.distilled import Distilled, Judgement, steps_of, student_name
from flashsim_prod.physics.training.distilling.folder import Student, bundle_of

JUDGED = Judgement(
    against="reference",
    objects=120_000,
    held_out=6000,
    auc=0.5012,
    auc_error=0.0013,
    teacher_auc=0.5009,
    teacher_auc_error=0.0013,
    tails=8,
    categories=3,
)


def student_of(
    bundle: Bundle, model: str, folder: Path, steps: int, judged: Judgement = JUDGED, beside: float = 0.0
) -> Student:
    """A student of a model, whose own file comes into `folder`; its field is `beside` its teacher's."""
    entry = bundle.manifest.models[model]
    own = own_of_student(bundle.tensors(model))
    own["velocity.leave.bias"] = own["velocity.leave.bias"] + own["velocity.leave.bias"].dtype.type(beside)
    folder.mkdir(exist_ok=True)
    file, sha256 = save_model(folder, student_name(model, steps), own)
    training: dict[str, float | int | str] = {"steps": 900, "seconds": 90.0}
    taken = {} if judged.worse else {"file": file, "sha256": sha256}
    made = Distilled(
        evaluations=steps,
        solver=steps_of(steps).solver,
        judgement=judged,
        training=training,
        **taken,
    )
    of_teacher = bundle.path / entry.file
    files = (of_teacher,) if judged.worse else (of_teacher, folder / file)
    return Student(entry.model_copy(update={"distilled": made}), files)


def bundle_with(
    bundle: Bundle, steps: Mapping[str, int], target: Path, *, name: str = "few", beside: float = 0.0
) -> Bundle:
    """`bundle` with students of some models, which take so many steps."""
    folder = target.with_name(f".{target.name}.own")
    made = {model: student_of(bundle, model, folder, n, beside=beside) for model, n in steps.items()}
    return bundle_of(bundle, made, target, name=name, title="Few steps", tag="Few")
