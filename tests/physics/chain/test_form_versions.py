"""Formulas behind the weights cannot change without a new version of the model's form.

Every model works on the same frozen events, and a number stands for each column that comes of it:
conditions, matched objects, targets, and the attributes made of targets. After a change that is meant, raise
`form` of the models it touches, and note the new numbers by running this file:

    python tests/physics/chain/test_form_versions.py
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from flashsim_prod.core.names import NANO_RUN3
from flashsim_prod.errors import BundleError
from flashsim_prod.physics.chain.bundle import ModelEntry, find_bundle, load_bundle
from flashsim_prod.physics.chain.compatibility import as_drawn_by, check_learns
from flashsim_prod.physics.chain.model import Condition, ObjectModel, Scale
from flashsim_prod.physics.chain.registry import MODELS, find_model, in_version
from flashsim_prod.physics.events import Collection, Column, Events
from flashsim_prod.physics.training.tables import match_objects, tabulate

FROZEN = Path(__file__).parent / "frozen"
NUMBERS = FROZEN / "forms.json"
#: of a column's mean magnitude; processors with other instructions were seen to differ by 5e-8 of it
TOLERANCE = 1e-5
#: objects that each model has to find, or its formulas would go unseen
LEAST = 5

#: models by what their numbers are noted under, those of earlier forms that weights still draw too
FORMS = {model.name: model for model in MODELS} | {
    f"{before.name}, form {before.form}": before for model in MODELS for before in model.forms[1:]
}
#: a number for each column, and how large its values are
Numbers = dict[str, tuple[float, float]]


def frozen_events() -> Events:
    """28 events of several processes, chosen for having objects of every source."""
    columns = load_file(FROZEN / "events.safetensors")
    names = {name.partition("_")[0] for name in columns}
    counts = {name: columns[f"n{name}"].astype(np.int64) for name in names if f"n{name}" in columns}
    scalars: dict[str, Column] = {}
    found: dict[str, dict[str, Column]] = {name: {} for name in counts}
    for name, column in columns.items():
        collection, _, attribute = name.partition("_")
        if collection in counts:
            found[collection][attribute] = column
        elif name[1:] not in counts:
            scalars[name] = column
    return Events(28, scalars, {name: Collection(counts[name], found[name]) for name in counts})


def numbers_of(model: ObjectModel, events: Events) -> Numbers:
    """A number for each column that the model's formulas give."""
    table, matched = tabulate(match_objects(events, model), model)
    rows = matched.rows.take(table.row)
    # each target from another object: what assembling does to the unusual is seen as well
    drawn = {
        name: np.roll(column.astype(np.float64), place)
        for place, (name, column) in enumerate(sorted(table.targets.items()))
    }
    columns: dict[str, Column] = {"number": table.number, "row": table.row}
    for place, condition in enumerate(model.conditions):
        columns[f"condition {condition.name}"] = table.conditions[:, place]
    columns |= {f"target {name}": column for name, column in table.targets.items()}
    columns |= {f"made {name}": column for name, column in model.restore(drawn, rows).items()}
    return {name: _number(column) for name, column in columns.items()}


def _number(column: Column) -> tuple[float, float]:
    """A mean with weights of which no two are alike, so that no change cancels another; and the magnitude."""
    values = np.nan_to_num(column.astype(np.float64), nan=-7.0, posinf=-8.0, neginf=-9.0)
    weights = 1.5 + np.cos(1.7 * np.arange(len(column)) + 0.3)
    return float(np.mean(weights * values)), float(np.mean(np.abs(values)))


def changed(before: dict[str, float], after: Numbers) -> list[str]:
    """Columns that are not what they were."""
    off = [
        name
        for name, (number, magnitude) in sorted(after.items())
        if name in before and abs(number - before[name]) > TOLERANCE * magnitude
    ]
    return sorted(before.keys() ^ after.keys()) + off


@pytest.fixture(scope="module")
def events() -> Events:
    return frozen_events()


@pytest.fixture(scope="module")
def noted() -> dict[str, dict]:
    return json.loads(NUMBERS.read_text(encoding="utf-8"))


@pytest.mark.parametrize(("name", "model"), FORMS.items(), ids=FORMS)
def test_a_form_that_changed_has_a_new_version(name, model, events, noted):
    how = "run tests/physics/chain/test_form_versions.py to note it"
    assert name in noted, f"{name} is new: {how}"
    assert noted[name]["form"] == model.form, f"{name} has a new form: {how}"
    differ = changed(noted[name]["numbers"], numbers_of(model, events))
    assert not differ, f"what weights of {model.name} mean has changed: raise its form ({differ})"


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_the_frozen_events_show_every_model(model, events):
    assert len(match_objects(events, model).row) >= LEAST


OF_SEVERAL_FORMS = [model for model in MODELS if model.before is not None]


def _of_form(model: ObjectModel, **changes: object) -> ModelEntry:
    """What a bundle would say of weights of `model`, with `changes`."""
    entry = load_bundle(find_bundle("reference")).manifest.models[model.name]
    return entry.model_copy(update={**model.signature(), **changes})


@pytest.mark.parametrize(
    ("model", "before"),
    [(model, before) for model in OF_SEVERAL_FORMS for before in model.forms[1:]],
    ids=lambda model: f"{model.name}-{model.form}",
)
def test_weights_of_a_form_before_draw_and_learn_no_more(model, before):
    entry = _of_form(before)
    assert as_drawn_by(model, entry) is before
    told = (
        rf"bundle old: {model.name} is of form {before.form} of its .* of form {model.form}, .* fit it anew"
    )
    with pytest.raises(BundleError, match=told):
        check_learns(model.name, entry, "bundle old")


@pytest.mark.parametrize("model", OF_SEVERAL_FORMS, ids=lambda model: model.name)
def test_weights_of_the_declared_form_learn_and_those_of_no_form_are_refused(model):
    entry = _of_form(model)
    assert as_drawn_by(model, entry) is model
    check_learns(model.name, entry, "bundle new")
    unknown = model.form + 1
    with pytest.raises(BundleError, match=f"for other form than .*: {unknown} instead of {model.form}"):
        as_drawn_by(model, _of_form(model, form=unknown))


@pytest.mark.parametrize("model", OF_SEVERAL_FORMS, ids=lambda model: model.name)
def test_forms_are_numbered_one_by_one_from_plain_columns_on(model):
    assert [one.form for one in model.forms] == list(range(model.form, 0, -1))
    assert {one.as_plain for one in model.forms} == {model.forms[-1]}


@pytest.mark.parametrize("model", OF_SEVERAL_FORMS, ids=lambda model: model.name)
def test_models_of_other_versions_have_plain_columns(model):
    of_run3 = in_version(model, NANO_RUN3)
    assert of_run3.form == model.as_plain.form
    entry = load_bundle(find_bundle("reference_run3")).manifest.models[model.name]
    assert as_drawn_by(model, entry) is of_run3
    check_learns(model.name, entry, "reference_run3")


def _with(name: str, **changes: object) -> ObjectModel:
    return replace(find_model(name), **changes)


def _scaled(name: str, column: str, factor: float) -> ObjectModel:
    """The model with a formula for one target that is off by `factor`."""
    model = find_model(name)
    return replace(
        model,
        express=lambda attributes, rows: _times(model.express_targets(attributes, rows), column, factor),
    )


def _times(columns: dict[str, Column], name: str, factor: float) -> dict[str, Column]:
    return columns | {name: columns[name] * factor}


def _log_of(conditions: Iterable[Condition], name: str) -> tuple[Condition, ...]:
    return tuple(replace(one, scale=Scale.LOG1P) if one.name == name else one for one in conditions)


SV = find_model("sv_from_tau_jet")
ELECTRON = find_model("electron_from_genelectron")


@pytest.mark.parametrize(
    ("model", "column"),
    [
        (_scaled("electron_from_genelectron", "mass", 1.001), "target mass"),
        (_scaled("jet_from_genjet", "qgl", 0.999), "target qgl"),
        (_with("electron_from_genelectron", conditions=_log_of(ELECTRON.conditions, "rho")), "condition rho"),
        (_with("sv_from_tau_jet", match=lambda events, rows: SV.match(events, rows)[::-1]), "row"),
        (_with("tau_from_jet", assemble=lambda drawn, rows: {}), "made pt"),
    ],
)
def test_a_change_of_a_formula_is_seen(model, column, events, noted):
    assert column in changed(noted[model.name]["numbers"], numbers_of(model, events))


def main() -> int:
    """Note the numbers of models with a new form; 1 if others have changed."""
    noted = json.loads(NUMBERS.read_text(encoding="utf-8")) if NUMBERS.exists() else {}
    events, wrong = frozen_events(), 0
    for name, model in FORMS.items():
        before, found = noted.get(name), numbers_of(model, events)
        if before is None or before["form"] != model.form:
            rounded = {name: float(f"{number:.9g}") for name, (number, _) in found.items()}
            noted[name] = {"form": model.form, "numbers": rounded}
        elif differ := changed(before["numbers"], found):
            print(f"{name}: raise its form first ({', '.join(differ)})", file=sys.stderr)
            wrong = 1
    kept = {name: noted[name] for name in FORMS}
    NUMBERS.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    return wrong


if __name__ == "__main__":
    sys.exit(main())
