"""Attributes of jets that are of several sorts: a column for each, and older weights draw as ever."""

import numpy as np
import pytest

from flashsim_prod.core.names import NANO_RUN3, NANO_VERSION
from flashsim_prod.physics.chain.forms import noting_fills
from flashsim_prod.physics.chain.objects import jet
from flashsim_prod.physics.chain.registry import in_version, plain_models_of
from flashsim_prod.physics.training.partial import partial_targets
from flashsim_prod.physics.training.tables import match_objects
from tests.physics.chain.test_form_versions import frozen_events

ALL_FORMS = pytest.mark.parametrize(
    "model",
    [one for model in jet.MODELS for one in model.forms],
    ids=lambda model: f"{model.name}-{model.form}",
)
MODELS = pytest.mark.parametrize("model", jet.MODELS, ids=lambda model: model.name)
OTHER_FRACTIONS = ("chEmEF", "chHEF", "neEmEF", "neHEF")
SCORES = ("btagCSVV2", "btagDeepB", "btagDeepCvB", "btagDeepCvL")
#: what stands and falls together with what the taggers see, and with the sort of muons
OF_TAGGERS = ("btagCSVV2", "btagDeepCvB", "btagDeepCvL", "blind_taggers", "btagCSVV2_alone")
OF_MUONS = ("muons", "muEF_share", "muEF_share_staying", "muonSubtraction", "muonSubtraction_rest")


def matched_to(model):
    """Attributes of the frozen events' jets, as of those of which some are blind, and their sources."""
    found = match_objects(frozen_events(), model)
    attributes = {name: column.copy() for name, column in found.attributes.items()}
    blind = np.arange(len(found.row)) % 3
    for name in SCORES:
        seen = np.abs(attributes[name]) % 1.0
        least, undefined = (2, -10.0) if name == "btagCSVV2" else (1, -1.0)
        attributes[name] = np.where(blind < least, seen, undefined).astype(np.float32)
    return attributes, found.rows.take(found.row), blind


def restored(model, drawn, rows):
    return model.restore({name: column.astype(np.float64) for name, column in drawn.items()}, rows)


@MODELS
def test_scores_are_undefined_again_where_they_were(model):
    attributes, rows, blind = matched_to(model)
    with noting_fills() as fills:
        drawn = model.express_targets(attributes, rows)
    assert np.array_equal(drawn["blind_taggers"], blind)
    # what was not seen is known as such
    unknown = fills.of(drawn)
    assert np.array_equal(unknown["btagCSVV2"], blind > 0)
    assert np.array_equal(unknown["btagCSVV2_alone"], blind != 1)
    # what is learned never is: it is like what is defined, in range too
    for name in ("btagCSVV2", "btagDeepCvB", "btagDeepCvL"):
        defined = attributes[name][blind == 0]
        assert drawn[name].min() >= defined.min()
        assert drawn[name].max() <= defined.max()
    alone = attributes["btagCSVV2"][blind == 1]
    assert np.isin(drawn["btagCSVV2_alone"].astype(np.float32), alone).all()
    made = restored(model, drawn, rows)
    for name in ("btagCSVV2", "btagDeepCvB", "btagDeepCvL"):
        assert np.allclose(made[name], attributes[name], atol=1e-6), name
    assert np.array_equal(made["btagDeepB"] < 0, blind >= 1)


def with_muons(model):
    """Attributes of jets without a muon, with one that stays, and with one that is taken out, in turn."""
    attributes, rows, _ = matched_to(model)
    place = np.arange(len(rows))
    sort, up = place % 3, place / len(rows)
    # no two jets are alike
    attributes["muEF"] = np.select([sort == 2, sort == 1], [0.2 + 0.6 * up, 0.01 + 0.1 * up], 0.0)
    rounding = 3e-8 * (1 + place % 5)
    attributes["muonSubtrFactor"] = np.where(sort == 2, (1.0 - 0.3 * up) * attributes["muEF"], rounding)
    others = sum(attributes[name].astype(np.float64) for name in OTHER_FRACTIONS)
    for name in OTHER_FRACTIONS:
        attributes[name] = attributes[name] * (1.0 - attributes["muEF"]) / others
    return attributes, rows, sort


@ALL_FORMS
def test_what_is_taken_out_for_muons_is_again_where_it_was(model):
    attributes, rows, sort = with_muons(model)
    drawn = model.express_targets(attributes, rows)
    made = restored(model, drawn, rows)
    for name in ("muEF", *OTHER_FRACTIONS):
        assert np.allclose(made[name], attributes[name], rtol=1e-6, atol=1e-9), name
    assert np.array_equal(made["muEF"] > 0, sort > 0)
    assert np.allclose(made["muonSubtrFactor"], attributes["muonSubtrFactor"], rtol=1e-5, atol=1e-12)


@MODELS
def test_muons_of_each_sort_have_columns_of_their_own(model):
    attributes, rows, sort = with_muons(model)
    with noting_fills() as fills:
        drawn = model.express_targets(attributes, rows)
    assert drawn["muons"].dtype.kind == "i"
    assert np.array_equal(drawn["muons"], sort)
    unknown = fills.of(drawn)
    for name, known in (
        ("muEF_share", sort == 2),
        ("muonSubtraction", sort == 2),
        ("muEF_share_staying", sort == 1),
        ("muonSubtraction_rest", sort < 2),
    ):
        assert np.array_equal(unknown[name], ~known), name
        # where there is no such thing, it is like that of those which have it
        assert np.isin(drawn[name], drawn[name][known]).all(), name
    plain = model.as_plain.express_targets(attributes, rows)
    assert np.array_equal(drawn["muEF_share"][sort == 2], plain["muEF_share"][sort == 2])
    assert np.array_equal(drawn["muEF_share_staying"][sort == 1], plain["muEF_share"][sort == 1])
    # whatever the columns of other sorts say, a jet has what its own ones say
    made = restored(model, drawn, rows)
    other = {name: np.where(unknown[name], 0.7, drawn[name]) for name in OF_MUONS[1:]}
    again = restored(model, drawn | other, rows)
    assert all(np.array_equal(column, again[name]) for name, column in made.items())


@MODELS
def test_no_jet_lends_its_share_of_muons_together_with_what_is_taken_of_it(model):
    attributes, rows, sort = with_muons(model)
    # far more jets without one than with a muon that is taken out, as in files
    lend, many = np.flatnonzero(sort == 2), np.resize(np.flatnonzero(sort < 2), 10 * len(rows))
    chosen = np.concatenate((lend, many))
    drawn = model.express_targets({name: one[chosen] for name, one in attributes.items()}, rows.take(chosen))
    for other in ("muonSubtraction", "muEF_share_staying"):
        lent = np.stack((drawn["muEF_share"], drawn[other]))[:, drawn["muons"] == 0]
        # in step, these would be as many as those that lend, or few times as many
        assert len(np.unique(lent, axis=1).T) > 5 * len(lend), other


@MODELS
@pytest.mark.parametrize(
    ("lacking", "gone", "left"),
    [
        # without the column that says where scores are undefined they would be taken for defined
        ("btagCSVV2", OF_TAGGERS, {"btagDeepFlavCvB", "qgl", "muons", "muEF_share"}),
        ("btagDeepCvB", OF_TAGGERS, {"btagDeepFlavCvB", "qgl", "muons", "muEF_share"}),
        ("muEF", OF_MUONS, {"btagCSVV2", "blind_taggers", "qgl"}),
        ("muonSubtrFactor", OF_MUONS, {"btagCSVV2", "blind_taggers", "qgl"}),
    ],
)
def test_a_file_that_does_not_tell_sorts_gives_nothing_of_any(model, lacking, gone, left):
    attributes, rows, _ = with_muons(model)
    del attributes[lacking]
    made, _, absent = partial_targets(model, attributes, rows, "Jet_{}")
    assert absent == (f"Jet_{lacking}",)
    assert not made.keys() & set(gone)
    assert left <= made.keys()


@MODELS
def test_other_versions_and_the_detector_have_plain_columns(model):
    of_run3 = in_version(model, NANO_RUN3)
    assert not {"blind_taggers", "muons"} & {target.name for target in of_run3.targets}
    assert model.as_plain in plain_models_of(NANO_VERSION)
