"""The two analyses: selections by hand, and the comparison as a whole on events that are made up."""

from __future__ import annotations

import json

import numpy as np
import pytest

from flashsim_prod.core.card import ProcessCard
from flashsim_prod.errors import InputError
from flashsim_prod.physics.events import Collection, Events
from flashsim_prod.physics.validation.analyses import comparison as analysis_comparison
from flashsim_prod.physics.validation.analyses import plots as analysis_plots
from flashsim_prod.physics.validation.analyses.comparison import compare_analysis
from flashsim_prod.physics.validation.analyses.network import Reconstruction, separation
from flashsim_prod.physics.validation.analyses.page import write_analyses
from flashsim_prod.physics.validation.analyses.selections import ANALYSES, VBF_HMUMU, ZH_LLBB
from flashsim_prod.physics.validation.drawing import plots
from flashsim_prod.resources import jobs_dir

_MUON_MASS = 0.105658


def _events(masses, jets, *, gen=None) -> Events:
    """Events with two muons at rest in the transverse plane, and jets given as (pt, eta, phi, b tag)."""
    n = len(masses)
    half = np.repeat(np.asarray(masses, dtype=float) / 2, 2)
    muons = {
        "pt": half,
        "eta": np.zeros(2 * n),
        "phi": np.tile([0.0, np.pi], n),
        "charge": np.tile([1, -1], n),
        "pfRelIso04_all": np.full(2 * n, 0.1),
        "mediumId": np.ones(2 * n, dtype=bool),
    }
    rows = np.array([one for event in jets for one in event], dtype=float).reshape(-1, 4).T
    columns = dict(zip(("pt", "eta", "phi", "btagDeepFlavB"), rows, strict=True))
    extra = {"mass": 5.0, "puId": 7, "jetId": 6, "qgl": 0.5}
    columns |= {name: np.full(rows.shape[1], value) for name, value in extra.items()}
    gen = np.arange(n) if gen is None else gen
    scalars = {
        "FlashSim_genEvent": gen,
        "genWeight": np.ones(n),
        "SoftActivityJetNjets5": np.zeros(n),
        "MET_pt": np.full(n, 20.0),
    }
    counts = np.array([len(event) for event in jets])
    return Events(n, scalars, {"Muon": Collection(np.full(n, 2), muons), "Jet": Collection(counts, columns)})


def test_the_vbf_selection_by_hand():
    forward = [(80.0, 2.0, 1.0, 0.0), (50.0, -2.0, -2.0, 0.0)]
    events = _events(
        [125, 91, 125, 125, 125, 125],
        [
            forward,
            forward,
            # a jet on a muon is that muon
            [(80.0, 2.0, 1.0, 0.0), (62.0, 0.1, 0.1, 0.0)],
            [(34.0, 2.0, 1.0, 0.0), (30.0, -2.0, -2.0, 0.0)],
            [(80.0, 0.5, 1.0, 0.0), (50.0, -0.5, 1.5, 0.0)],
            [(200.0, 0.5, 1.0, 0.0), (150.0, -0.5, -2.0, 0.0)],
        ],
    )
    left = np.array(VBF_HMUMU.flow(VBF_HMUMU.features(events)))
    # number of cuts that each event passes
    np.testing.assert_array_equal(left.sum(axis=0) - 1, [6, 1, 2, 3, 4, 5])
    features = VBF_HMUMU.features(events)
    assert features["m(mumu)"][0] == pytest.approx(np.hypot(125, 2 * _MUON_MASS), abs=1e-3)
    assert features["deta(jj)"][0] == 4.0
    assert np.isnan(features["m(jj)"][2])


def test_the_zh_selection_by_hand():
    back = [(60.0, 0.0, 1.5, 0.9), (60.0, 0.0, -1.6, 0.1)]
    events = _events(
        [91, 120, 91, 91, 91],
        [
            back,
            back,
            # forward of what is measured
            [(60.0, 3.0, 1.5, 0.9), (60.0, 0.0, -1.6, 0.9)],
            [(30.0, 0.0, 1.5, 0.9), (30.0, 0.0, -1.6, 0.9)],
            [(60.0, 0.0, 1.5, 0.1), (60.0, 0.0, -1.6, 0.9)],
        ],
    )
    left = np.array(ZH_LLBB.flow(ZH_LLBB.features(events)))
    np.testing.assert_array_equal(left.sum(axis=0) - 1, [5, 1, 2, 3, 4])


def _made_up(title: str, folds: int) -> Events:
    """Signal has jets far apart and the mass of a Higgs boson; FlashSim is like the reference."""
    is_signal = "vbf" in title
    rng = np.random.default_rng(len(title))
    n_gen = 250
    gen = np.repeat(np.arange(n_gen), folds)
    # what generator events have in common
    shared = np.random.default_rng(5)
    mass = shared.uniform(117, 133, n_gen) if not is_signal else shared.normal(125, 1, n_gen)
    eta = shared.uniform(0, 1.6, n_gen) + (1.0 if is_signal else 0.2)
    n = len(gen)
    masses, etas = mass[gen] * rng.normal(1, 0.005, n), eta[gen] + rng.normal(0, 0.02, n)
    pts = rng.normal(100, 5, (n, 2))
    jets = [[(max(pt), one, 1.4, 0.0), (min(pt), -one, -1.7, 0.0)] for pt, one in zip(pts, etas, strict=True)]
    return _events(masses, jets, gen=gen)


def _cards() -> list[ProcessCard]:
    paths = [jobs_dir() / f"{process.card}.yaml" for process in VBF_HMUMU.processes]
    return [ProcessCard.from_yaml(path.read_text(), path.name) for path in paths]


@pytest.fixture
def compared(monkeypatch, tmp_path):
    monkeypatch.setattr(analysis_comparison, "generator_events", lambda card, *_, **named: Events(0))
    monkeypatch.setattr(
        analysis_comparison, "reconstructed", lambda *_, folds, title, **named: _made_up(title, folds)
    )
    return compare_analysis(
        VBF_HMUMU, _cards(), None, tmp_path, n_gen=250, folds=4, seed=1,
        progress=lambda stage, done, total: None,
    )  # fmt: skip


def test_two_simulations_that_agree_are_green(compared, tmp_path, monkeypatch):
    assert compared.light == "green"
    signal, background, _ = compared.processes
    assert [process.is_signal for process in compared.processes] == [True, False, False]
    # few background events are selected, so more are made
    assert [process.n_gen for process in compared.processes] == [250, 750, 250]
    assert [row.name for row in signal.flow] == [name for name, _ in VBF_HMUMU.cuts]
    assert signal.flow[0].sample.value == 1.0
    assert signal.flow[-1].reference.value > background.flow[-1].reference.value
    # jets far apart tell signal
    assert min(compared.auc.sample.value, compared.auc.reference.value) > 0.8
    assert abs(compared.auc.difference.value) < 4 * compared.auc.difference.error < 0.1
    regions = {(one.feature.name, one.region) for one in signal.distributions}
    assert {("DNN", "after two jets"), ("DNN", "signal region"), ("m(mumu)", "signal region")} <= regions
    # only generator events that the network was not trained on are looked at
    assert all((one.sample.gen % 2 == 1).all() for one in signal.distributions)
    monkeypatch.setattr(plots, "overlay_entries", lambda *_, **named: b"figure")
    monkeypatch.setattr(analysis_plots, "network_output", lambda *_, **named: b"figure")
    page = write_analyses([compared], tmp_path / "page")
    assert "reference detector" in page.read_text()
    figures = json.loads((page.parent / "analyses.json").read_text())
    auc = figures["analyses"][0]["auc"]
    assert auc["flashsim"] == [compared.auc.sample.value, compared.auc.sample.error]


def test_another_network_output_is_seen(compared):
    """Signal that looks less like signal than in the reference."""
    analysis = compared.analysis
    after = f"after {analysis.cuts[analysis.trained_after - 1][0]}"
    outputs = [
        (one.sample, one.reference)
        for process in compared.processes
        for one in process.distributions
        if (one.feature.name, one.region) == ("DNN", after)
    ]

    def reconstruction(entries, scale):
        left = [np.ones(len(entries), dtype=bool)] * (len(analysis.cuts) + 1)
        return Reconstruction({"DNN": entries.values * scale}, entries.gen, entries.weight, left)

    worse = [
        [reconstruction(sample, 0.6 if position == 0 else 1.0), reconstruction(reference, 1.0)]
        for position, (sample, reference) in enumerate(outputs)
    ]
    found = separation(worse, analysis, 1)
    assert found.light == "red"
    assert found.difference.value < -3 * found.difference.error


def test_the_network_figure_is_a_picture(compared):
    outputs = [
        (process.title, shown.sample, shown.reference)
        for process in compared.processes
        for shown in process.distributions[3:4]
    ]
    png = analysis_plots.network_output(outputs, caption="Simulation")
    assert png.startswith(b"\x89PNG")
    assert 2000 < len(png) < 40_000


def test_too_few_events_for_a_network_are_an_error(monkeypatch, tmp_path):
    monkeypatch.setattr(analysis_comparison, "generator_events", lambda card, *_, **named: Events(0))
    monkeypatch.setattr(
        analysis_comparison,
        "reconstructed",
        lambda *_, folds, title, **named: _made_up(title, folds).take(np.arange(20)),
    )
    with pytest.raises(InputError, match="too few to train a network with"):
        compare_analysis(
            VBF_HMUMU, _cards(), None, tmp_path, n_gen=5, folds=4, seed=1, progress=lambda *_: None
        )


def test_every_analysis_has_its_cards_and_inputs():
    for one in ANALYSES:
        for process in one.processes:
            assert (jobs_dir() / f"{process.card}.yaml").is_file()
        assert 0 < one.trained_after < len(one.cuts)
