"""Students: what they learn, when they are taken, how a bundle says it, and that they draw as others do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from flashsim_prod.core.choices import Solver, WeightUse
from flashsim_prod.core.request import Sampling
from flashsim_prod.errors import BundleError, ConfigError, InputError
from flashsim_prod.physics.chain.archive import pack, unpack
from flashsim_prod.physics.chain.bundle import (
    MANIFEST,
    Bundle,
    ModelEntry,
    load_bundle,
    read_tensors,
    save_model,
)
from flashsim_prod.physics.chain.combine import Parts
from flashsim_prod.physics.chain.compatibility import DECLARED
from flashsim_prod.physics.chain.corrections.section import ReweighterSection
from flashsim_prod.physics.chain.distilled import steps_of, students, told_students
from flashsim_prod.physics.chain.fitted import FittedModel
from flashsim_prod.physics.chain.kinds.flow import VELOCITY
from flashsim_prod.physics.chain.teachers import drawn_with
from flashsim_prod.physics.chain.transforms import Gaussianiser
from flashsim_prod.physics.chain.writing import copy_bundle
from flashsim_prod.physics.training.assemble import build_bundle, save_fitted
from flashsim_prod.physics.training.correcting.folder import Unseen, leave
from flashsim_prod.physics.training.correcting.refine import RefineSettings, learn_refiner
from flashsim_prod.physics.training.correcting.reweight import ReweightSettings, learn_reweighter
from flashsim_prod.physics.training.distilling.folder import Student, bundle_of, distil
from flashsim_prod.physics.training.distilling.judging import (
    _worse_area,
    errors_allowed,
    judge,
    steps_of_target,
)
from flashsim_prod.physics.training.distilling.lesson import CHECKPOINT, teach
from flashsim_prod.physics.training.distilling.settings import DistilSettings
from flashsim_prod.physics.training.distilling.sources import Gathered, Sources
from flashsim_prod.physics.training.fit import untrained
from flashsim_prod.physics.training.optimise import FitSettings, split_rows
from flashsim_prod.physics.training.record import FitRecord
from flashsim_prod.physics.training.table import Table, table_digest
from flashsim_prod.physics.training.tuning.calibration import with_marginals_of
from flashsim_prod.physics.training.tuning.folder import BASE_DIGEST
from flashsim_prod.physics.training.tuning.settings import TuneSettings
from flashsim_prod.physics.validation.statistics.distances import Measured
from tests.students import bundle_with
from tests.toy_models import toy_model

TOY = toy_model(most=1)
N = 4000
SETTINGS = DistilSettings(evaluations=2, steps=120, batch=128, rate=3e-3, average=0.9, objects=2000)


@pytest.fixture(scope="module", autouse=True)
def _toy_is_declared() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(DECLARED, "toy", TOY)  # type: ignore[arg-type]
        yield


@pytest.fixture(scope="module")
def table() -> Table:
    rng = np.random.default_rng(1)
    conditions = rng.normal(size=(N, 2)).astype(np.float32)
    x = (conditions[:, 0] + rng.normal(size=N)).astype(np.float32)
    return Table(conditions, np.ones(N, np.int64), np.arange(N), {"x": x, "flag": rng.random(N) < 0.02})


@pytest.fixture(scope="module")
def teacher(table: Table) -> FittedModel:
    """A flow that is curved: two steps with its own weights end elsewhere."""
    fitted = untrained(TOY, table, 1)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for one in fitted.networks[VELOCITY].parameters():
            one.add_(0.05 * torch.randn(one.shape, generator=generator))
    # its draws are distributed as the table for all that
    return with_marginals_of(fitted, table, TuneSettings(), Sampling())


@pytest.fixture(scope="module")
def teachers(teacher: FittedModel, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("teachers")
    record = FitRecord(N, N, FitSettings(seed=5), {"flow": [(1, 1.0, 1.0)]})
    save_fitted(teacher, record, folder / "toy")
    named = {"name": "toys", "title": "Toys", "tag": "Toys", "training_sample": ("toys",)}
    return build_bundle({"toy": folder / "toy"}, folder / "toys", **named)


@pytest.fixture(scope="module")
def loaded(teachers: Bundle) -> FittedModel:
    return _loaded(teachers)


@pytest.fixture(scope="module")
def drawn(loaded: FittedModel, table: Table) -> Sources:
    """Objects that are reconstructed just as the teacher draws."""
    noise = np.random.default_rng(3).normal(size=(N, 2))
    targets = loaded.sample(table.conditions, noise, Sampling())
    return Sources(table.conditions, np.arange(N), np.zeros(N, dtype=bool), targets)


@pytest.fixture(scope="module")
def made(teachers: Bundle, drawn: Sources, tmp_path_factory: pytest.TempPathFactory) -> Student:
    return distil(teachers, "toy", drawn, SETTINGS, tmp_path_factory.mktemp("made") / "toy", "tables")


@pytest.fixture
def taken(teachers: Bundle, tmp_path: Path) -> Bundle:
    """A bundle whose one model has a student: its own weights in two steps."""
    return bundle_with(teachers, {"toy": 2}, tmp_path / "students")


def _loaded(bundle: Bundle) -> FittedModel:
    return FittedModel.load(TOY, bundle.manifest.models["toy"], bundle.tensors("toy"))


def _judged(loaded: FittedModel, student: FittedModel, drawn: Sources) -> tuple[str, ...]:
    return judge(loaded, student, drawn, N, 1).worse


# ---- what is learned


def test_a_student_comes_nearer_to_where_its_teacher_ends(made: Student) -> None:
    training = made.distilled.training
    assert training["steps"] == 120
    assert float(training["loss"]) < 0.5 * float(training["loss_before"])


def test_an_interrupted_lesson_ends_as_an_undisturbed_one(
    loaded: FittedModel, drawn: Sources, tmp_path: Path
) -> None:
    settings = replace(SETTINGS, steps=250)
    whole, _ = teach(loaded, drawn.to_teach_by(), settings, tmp_path / "whole")

    def stop(step: int, steps: int, loss: float) -> None:
        if step > 200:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        teach(loaded, drawn.to_teach_by(), settings, tmp_path / "cut", stop)
    assert (tmp_path / "cut" / CHECKPOINT).is_file()
    told: list[int] = []
    again, _ = teach(
        loaded, drawn.to_teach_by(), settings, tmp_path / "cut", lambda step, steps, loss: told.append(step)
    )
    assert told == [250]
    for name, tensor in whole.tensors().items():
        assert np.array_equal(tensor, again.tensors()[name]), name


def test_minutes_come_to_steps_that_another_sitting_keeps(
    loaded: FittedModel, drawn: Sources, tmp_path: Path
) -> None:
    settings = replace(SETTINGS, steps=None, minutes=1e-4, draws=500)
    _, first = teach(loaded, drawn.to_teach_by(), settings, tmp_path)
    _, again = teach(loaded, drawn.to_teach_by(), replace(settings, minutes=9), tmp_path)
    assert first.steps == again.steps >= 10


# ---- when it is taken


def test_the_teacher_itself_is_no_worse(loaded: FittedModel, drawn: Sources) -> None:
    found = judge(loaded, loaded, drawn, N, 1)
    assert not found.worse
    assert found.auc == found.teacher_auc
    assert found.tails == 2
    assert found.categories == 2


def test_few_steps_that_nobody_taught_are_worse(loaded: FittedModel, drawn: Sources) -> None:
    (area, *_) = _judged(loaded, replace(loaded, steps=steps_of(1)), drawn)
    assert area.startswith("AUC ")


def test_a_rare_category_that_is_lost_is_worse(loaded: FittedModel, drawn: Sources) -> None:
    x, flag = loaded.gaussianisers
    never = Gaussianiser(np.array([0, 1], np.float32), np.array([0, 0], np.float32))
    worse = _judged(loaded, replace(loaded, gaussianisers=(x, never)), drawn)
    assert any(one.startswith("flag = 1: 0.000%") for one in worse)
    assert set(steps_of_target(flag)) == {0, 1}


@pytest.mark.parametrize(("side", "edge"), [("1%", 0.02), ("99%", 0.98)])
def test_a_tail_that_is_cut_is_worse(loaded: FittedModel, drawn: Sources, side: str, edge: float) -> None:
    x, flag = loaded.gaussianisers
    limit = np.float32(np.quantile(drawn.targets["x"], edge))
    cut = np.maximum(x.value, limit) if edge < 0.5 else np.minimum(x.value, limit)
    worse = _judged(loaded, replace(loaded, gaussianisers=(Gaussianiser(x.cdf, cut), flag)), drawn)
    assert any(one.startswith(f"x beyond its {side} quantile: 0.000%") for one in worse)


@pytest.mark.parametrize("shares", [1, 100, 1500])
def test_chance_alone_seldom_calls_a_student_worse_however_many_shares_it_has(shares: int) -> None:
    off = np.random.default_rng(1).normal(size=(1000, shares)).max(axis=1)
    assert 0.02 < np.mean(off > errors_allowed(shares)) < 0.08


def test_no_student_is_worse_than_chance_could_have_its_teacher() -> None:
    by_chance = Measured(0.48, 0.01)
    assert not _worse_area(Measured(0.505, 0.01), by_chance)
    assert _worse_area(Measured(0.515, 0.01), by_chance)
    assert _worse_area(Measured(0.625, 0.01), Measured(0.61, 0.01))


def test_without_reconstructed_objects_the_teacher_is_the_measure(
    loaded: FittedModel, drawn: Sources
) -> None:
    alone = replace(drawn, targets={})
    found = judge(loaded, loaded, alone, 2000, 1)
    assert (found.against, found.objects, found.worse) == ("teacher", 2000, ())
    assert judge(loaded, replace(loaded, steps=steps_of(1)), alone, 2000, 1).worse


def test_rows_that_the_fit_held_out_come_first(teachers: Bundle, table: Table) -> None:
    entry = teachers.manifest.models["toy"]
    found = Sources.of_table(table, entry)
    held_out = split_rows(N, FitSettings(seed=5))[0].numpy()
    assert set(np.flatnonzero(found.held_out)) == set(held_out)
    few = found.to_judge_by(len(held_out), 1)
    assert found.held_out[few].all()
    more = found.to_judge_by(len(held_out) + 500, 1)
    assert len(more) == len(held_out) + 500
    assert set(held_out) < set(more)
    # of a fit to other tables nothing is known
    other = entry.model_copy(update={"fit": {**entry.fit, "objects": N + 1}})
    assert not Sources.of_table(table, other).held_out.any()
    # as many objects are not the same ones
    told = entry.model_copy(update={"fit": {**entry.fit, "tables": table_digest(table)}})
    changed = replace(table, targets={**table.targets, "x": table.targets["x"] + 1})
    assert [Sources.of_table(one, told).held_out.any() for one in (table, changed)] == [True, False]
    # what was tuned held out others
    tuned = entry.model_copy(update={"fit": {**entry.fit, BASE_DIGEST: "0" * 64}})
    assert not Sources.of_table(table, tuned).held_out.any()


def test_a_reweighted_model_teaches_nobody(teachers: Bundle, drawn: Sources, tmp_path: Path) -> None:
    section = ReweighterSection(
        of="0" * 64,
        use=WeightUse.RESAMPLE,
        candidates=2,
        least=0.1,
        most=10,
        scale=1,
        shift=0,
        mean=1,
        classifier=(8,),
        knots=4,
    )
    entry = teachers.manifest.models["toy"].model_copy(update={"reweighter": section})
    manifest = teachers.manifest.model_copy(update={"models": {"toy": entry}})
    with pytest.raises(BundleError, match=r"toy of bundle toys is reweighted, .* reweight what comes of it"):
        distil(replace(teachers, manifest=manifest), "toy", drawn, SETTINGS, tmp_path / "toy", "tables")
    assert not (tmp_path / "toy").exists()


# ---- what is written


def test_a_student_that_is_no_worse_takes_its_teachers_place(
    teachers: Bundle, taken: Bundle, drawn: Sources
) -> None:
    entry = taken.manifest.models["toy"]
    assert entry.distilled is not None
    assert entry.sha256 == teachers.manifest.models["toy"].sha256
    assert list(entry.files) == ["toy.safetensors", "toy.e2.safetensors"]
    # the student's file holds what is its own, and nothing that is its teacher's
    own = read_tensors(taken.path / "toy.e2.safetensors")
    assert {name.split(".")[0] for name in own} == {VELOCITY}
    assert told_students(taken.manifest.models) == "students: 1 of 1 models in 2 evaluations"
    fitted, of_teachers = _loaded(taken), _loaded(teachers)
    noise = np.random.default_rng(1).normal(size=(300, 2))
    few = Sampling(solver=Solver.MIDPOINT, evaluations=2)
    expected = of_teachers.sample(drawn.conditions[:300], noise, few)
    for asked in (Sampling(), Sampling(evaluations=100)):
        for name, column in fitted.sample(drawn.conditions[:300], noise, asked).items():
            assert np.array_equal(column, expected[name]), name


def test_a_student_that_is_worse_leaves_its_teacher_in_place(
    teachers: Bundle, drawn: Sources, tmp_path: Path
) -> None:
    settings = replace(SETTINGS, steps=1, evaluations=1)
    one = distil(teachers, "toy", drawn, settings, tmp_path / "work", "tables")
    assert one.distilled.judgement.worse
    kept = bundle_of(teachers, {"toy": one}, tmp_path / "kept", name="k", title="K", tag="K")
    entry = kept.manifest.models["toy"]
    assert entry.sha256 == teachers.manifest.models["toy"].sha256
    assert not students(kept.manifest.models)
    assert _loaded(kept).steps is None
    # said again, nothing is taught again
    again = distil(teachers, "toy", drawn, settings, tmp_path / "work", "tables", _fail)
    assert again == one


def _fail(step: int, steps: int, loss: float) -> None:
    pytest.fail("it is there already")


def test_other_terms_begin_anew(teachers: Bundle, drawn: Sources, tmp_path: Path) -> None:
    settings = replace(SETTINGS, steps=2)
    distil(teachers, "toy", drawn, settings, tmp_path / "work", "tables")
    steps: list[int] = []
    longer = replace(settings, steps=3)
    found = distil(
        teachers, "toy", drawn, longer, tmp_path / "work", "tables", lambda step, *_: steps.append(step)
    )
    assert steps == [3]
    assert found.distilled.training["steps"] == 3


def test_who_has_a_student_teaches_another_itself(
    teachers: Bundle, drawn: Sources, made: Student, tmp_path: Path
) -> None:
    few = bundle_with(teachers, {"toy": 1}, tmp_path / "few", beside=0.5)
    again = distil(few, "toy", drawn, SETTINGS, tmp_path / "work", "tables")
    # not by the earlier student: the same comes of it as without that
    assert again.entry == made.entry.model_copy(update={"distilled": again.distilled})
    told = (again.distilled.evaluations, again.distilled.sha256, again.distilled.judgement)
    assert told == (2, made.distilled.sha256, made.distilled.judgement)
    both = bundle_of(few, {"toy": again}, tmp_path / "both", name="b", title="B", tag="B")
    assert sorted(path.name for path in both.path.iterdir()) == sorted(
        [MANIFEST, "toy.safetensors", *(file for file in again.entry.files if file != "toy.safetensors")]
    )


def test_too_few_objects_teach_nothing(teachers: Bundle, drawn: Sources, tmp_path: Path) -> None:
    few = Sources(drawn.conditions[:50], drawn.group[:50], drawn.held_out[:50])
    with pytest.raises(InputError, match="toy: only 50 objects to be taught by, at least 200"):
        distil(teachers, "toy", few, SETTINGS, tmp_path / "work", "tables")
    assert not (tmp_path / "work").exists()


def test_bundles_without_students_say_no_word_of_them(teachers: Bundle) -> None:
    assert "distilled" not in (teachers.path / MANIFEST).read_text()


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"judgement": {"worse": ["AUC"]}}, "a student that is worse in AUC cannot be taken"),
        ({"evaluations": 0}, "evaluations"),
        ({"file": "../toy.e2.safetensors"}, "file"),
        ({"file": None}, "file and sha256 go together"),
        ({"steps": 2}, "steps"),
    ],
)
def test_manifests_that_contradict_themselves_are_refused(
    taken: Bundle, change: dict[str, object], complaint: str
) -> None:
    path = taken.path / MANIFEST
    manifest = json.loads(path.read_text())
    distilled = manifest["models"]["toy"]["distilled"]
    judgement = {**distilled["judgement"], **change.pop("judgement", {})}  # type: ignore[dict-item]
    distilled |= {"judgement": judgement, **change}
    path.write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match=complaint):
        load_bundle(taken.path)


def test_only_flows_take_steps(taken: Bundle) -> None:
    entry = taken.manifest.models["toy"].model_dump(mode="json")
    with pytest.raises(ConfigError, match="of a spline; only flows take steps"):
        ModelEntry.from_mapping({**entry, "kind": "spline"}, "entry")


def test_what_corrects_a_students_draws_is_with_its_own_weights(
    taken: Bundle, table: Table, tmp_path: Path
) -> None:
    found = Unseen(TOY, taken.manifest.models["toy"], taken.tensors("toy"), table, taken)
    settings = RefineSettings(steps=2, batch=256, draws=1, width=8, blocks=1)
    refiner = learn_refiner(found.fitted, found.digest, table, settings, Sampling()).refiner
    # a student takes steps of its own, whatever is asked for
    assert refiner.section.sampling is None
    found = found.corrected(refiner, {})
    settings = ReweightSettings(steps=3, batch=256, hidden=(8,), knots=2)
    learned = learn_reweighter(found.fitted, found.digest, table, settings, Sampling())
    leave(found.corrected(learned, {}), tmp_path)
    named = {"name": "r", "title": "R", "tag": "R", "training_sample": ("toys",)}
    made = build_bundle({"toy": tmp_path / "fits" / "toy"}, tmp_path / "made", **named)
    assert _loaded(made).reweighter is not None
    assert _loaded(made).refiner is not None
    assert _loaded(made).steps == steps_of(2)
    # the teacher's file is the same, and its draws are corrected by nothing
    name = made.manifest.models["toy"].file
    assert (made.path / name).read_bytes() == (taken.path / name).read_bytes()
    assert _loaded(made.of_teachers).reweighter is None
    assert _loaded(made.of_teachers).refiner is None
    assert drawn_with(made, Sampling(evaluations=8))[0] == made.of_teachers


# ---- how it draws


def test_chunks_change_nothing(made: Student, drawn: Sources) -> None:
    entry = made.entry
    own = {name: one for file in made.weights for name, one in read_tensors(file).items()}
    fitted = replace(FittedModel.load(TOY, entry, own), steps=steps_of(2))
    noise = np.random.default_rng(1).normal(size=(1500, 2))
    conditions = drawn.conditions[:1500]
    whole = fitted.sample(conditions, noise, Sampling())
    for cuts in ((37, 1100), (1,), (256, 512)):
        parts = [
            fitted.sample(c, z, Sampling())
            for c, z in zip(np.split(conditions, cuts), np.split(noise, cuts), strict=True)
        ]
        for name, column in whole.items():
            assert np.array_equal(np.concatenate([part[name] for part in parts]), column), name


def test_other_evaluations_take_the_teachers(teachers: Bundle, drawn: Sources, tmp_path: Path) -> None:
    few = bundle_with(teachers, {"toy": 2}, tmp_path / "few", beside=0.5)
    asked = Sampling(evaluations=8)
    assert drawn_with(few, None) == (few, Sampling())
    # just what students take is theirs
    assert drawn_with(few, Sampling(evaluations=2)) == (few, Sampling())
    bundle, sampling = drawn_with(few, asked)
    assert (bundle.digest, sampling) == (few.digest, Sampling(evaluations=8, teachers=True))
    noise = np.random.default_rng(1).normal(size=(300, 2))
    expected = _loaded(teachers).sample(drawn.conditions[:300], noise, asked)
    for name, column in _loaded(bundle).sample(drawn.conditions[:300], noise, sampling).items():
        assert np.array_equal(column, expected[name]), name
    by_student = _loaded(few).sample(drawn.conditions[:300], noise, Sampling())
    assert not np.array_equal(by_student["x"], expected["x"])
    # in just as many steps, if teachers are said, or another solver is
    assert drawn_with(few, Sampling(evaluations=2, solver=Solver.EULER))[0] == bundle
    assert drawn_with(few, Sampling(evaluations=2, teachers=True))[0] == bundle
    # those without students have none but themselves, and requests and digests say no word of it
    assert drawn_with(teachers, asked) == (teachers, asked)
    assert drawn_with(teachers, sampling) == (teachers, asked)
    assert "teachers" not in asked.model_dump()


def test_students_of_manifests_that_say_no_solver_go_by_euler(taken: Bundle) -> None:
    told = taken.manifest.models["toy"].model_dump(mode="json")
    assert told["distilled"].pop("solver") == "midpoint"
    distilled = ModelEntry.from_mapping(told, "entry").distilled
    assert distilled is not None
    assert distilled.sampling == Sampling(solver=Solver.EULER, evaluations=2)


@pytest.mark.parametrize(
    ("evaluations", "solver"), [(1, "euler"), (2, "midpoint"), (3, "ab2"), (4, "midpoint")]
)
def test_students_go_by_steps_of_second_order_if_they_can(evaluations: int, solver: str) -> None:
    assert steps_of(evaluations) == Sampling(solver=Solver(solver), evaluations=evaluations)


def test_what_draws_by_default_tells_reports_apart(teachers: Bundle, taken: Bundle) -> None:
    of_teacher, of_student = (one.manifest.models["toy"] for one in (teachers, taken))
    assert of_student.drawn_by != of_teacher.drawn_by == of_teacher.sha256
    assert taken.of_teachers.manifest.models["toy"].drawn_by == of_teacher.sha256


@pytest.mark.parametrize("change", ["lacks", "holds"])
def test_a_student_has_its_own_weights_and_no_more(taken: Bundle, change: str) -> None:
    """Else its teacher's, or somebody's scaling, would be taken without a word."""
    path = taken.path / "toy.e2.safetensors"
    own = read_tensors(path)
    if change == "lacks":
        del own["velocity.leave.bias"]
    else:
        own["conditions.mean"] = np.zeros(2, np.float32)
    path.unlink()
    _, sha256 = save_model(taken.path, "toy.e2", own)
    manifest = json.loads((taken.path / MANIFEST).read_text())
    manifest["models"]["toy"]["distilled"]["sha256"] = sha256
    (taken.path / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match=rf"toy\.e2\.safetensors: {change} \w+\.[\w.]+; a student has"):
        load_bundle(taken.path).tensors("toy")


def test_a_bundle_is_whole_with_its_students_files(teachers: Bundle, taken: Bundle, tmp_path: Path) -> None:
    pack(taken, tmp_path / "few.tar")
    (tmp_path / "out").mkdir()
    unpacked = unpack(tmp_path / "few.tar", tmp_path / "out")
    copied = copy_bundle(taken, tmp_path / "copied")
    # models of a base come with their students, under names of their own
    parts = Parts.of(taken)
    named = replace(parts, entries={"other": parts.entries["toy"]}, weights={"other": parts.weights["toy"]})
    both = named.completed(teachers).entries["other"]
    assert list(both.files) == ["other.safetensors", "other.e2.safetensors"]
    for one in (unpacked, copied):
        assert (one.digest, one.manifest) == (taken.digest, taken.manifest)
    (copied.path / "toy.e2.safetensors").unlink()
    with pytest.raises(BundleError, match=r"toy\.e2\.safetensors: the weights of model toy are missing"):
        load_bundle(copied.path)
    (unpacked.path / "toy.e2.safetensors").write_bytes(b"0")
    with pytest.raises(BundleError, match=r"toy\.e2\.safetensors: altered"):
        load_bundle(unpacked.path)


def test_what_a_chain_asks_for_is_kept_up_to_a_number(tmp_path: Path) -> None:
    found = Gathered(100)
    for first in range(0, 1000, 50):
        # two objects of each event; those of one process come after those of another
        events = np.repeat(np.arange(first, first + 50), 2)
        found.see("toy", np.stack([events, events // 500], axis=1).astype(np.float32), events)
    sources = found.sources()["toy"]
    assert len(sources) == 100
    # whole events, of both processes
    assert np.array_equal(sources.group, np.repeat(np.arange(50), 2))
    assert 30 < sources.conditions[:, 1].sum() < 70
    sources.save(tmp_path / "toy.safetensors")
    again = Sources.load(tmp_path / "toy.safetensors")
    assert np.array_equal(again.conditions, sources.conditions)
    assert again.digest() == sources.digest()
    (tmp_path / "toy.safetensors").write_bytes(b"nothing")
    with pytest.raises(InputError, match="damaged"):
        Sources.load(tmp_path / "toy.safetensors")
