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

MODELS = pytest.mark.parametrize("model", jet.MODELS, ids=lambda model: model.name)
SCORES = ("btagCSVV2", "btagDeepB", "btagDeepCvB", "btagDeepCvL")


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
    made = model.restore({name: column.astype(np.float64) for name, column in drawn.items()}, rows)
    for name in ("btagCSVV2", "btagDeepCvB", "btagDeepCvL"):
        assert np.allclose(made[name], attributes[name], atol=1e-6), name
    assert np.array_equal(made["btagDeepB"] < 0, blind >= 1)


@MODELS
def test_what_is_taken_out_for_muons_is_again_where_it_was(model):
    attributes, rows, _ = matched_to(model)
    sort = np.arange(len(rows)) % 3
    # without a muon, with one that stays, and with one that is taken out
    attributes["muEF"] = np.where(sort > 0, np.maximum(attributes["muEF"], 0.1), 0.0).astype(np.float32)
    rounding = 3e-8 * (1 + np.arange(len(rows)) % 5)
    attributes["muonSubtrFactor"] = np.where(sort == 2, 0.9 * attributes["muEF"], rounding)
    drawn = model.express_targets(attributes, rows)
    # neither says anything where it is of another sort
    assert set(np.round(drawn["muonSubtraction"], 5)) == {0.0, 0.9}
    assert np.abs(drawn["muonSubtraction_rest"]).max() < 0.3
    made = model.restore({name: column.astype(np.float64) for name, column in drawn.items()}, rows)
    # energy fractions are of one whole in what is drawn, and of less in what this test changed
    taken = np.where(sort == 2, 0.9 * made["muEF"], rounding)
    assert np.allclose(made["muonSubtrFactor"], taken, rtol=1e-5, atol=1e-12)


@MODELS
@pytest.mark.parametrize("lacking", ["btagCSVV2", "btagDeepCvB"])
def test_a_file_without_one_of_the_taggers_gives_nothing_of_either(model, lacking):
    # without the column that says where scores are undefined they would be taken for defined
    attributes, rows, _ = matched_to(model)
    del attributes[lacking]
    made, _, absent = partial_targets(model, attributes, rows, "Jet_{}")
    assert absent == (f"Jet_{lacking}",)
    assert not {"btagCSVV2", "btagDeepCvB", "btagDeepCvL", "blind_taggers", "btagCSVV2_alone"} & made.keys()
    assert {"btagDeepFlavCvB", "qgl"} <= made.keys()


@MODELS
def test_other_versions_and_the_detector_have_plain_columns(model):
    of_run3 = in_version(model, NANO_RUN3)
    assert "blind_taggers" not in {target.name for target in of_run3.targets}
    assert model.plain in plain_models_of(NANO_VERSION)
