"""Histograms of oversampled events against the formula, written out event by event."""

from __future__ import annotations

import itertools
import pickle
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import awkward as ak
import hist
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flashsim_prod.physics.nanoaod.schema import Schema
from flashsim_prod.physics.nanoaod.writer import NanoWriter
from flashsim_prod.physics.oversampling import OversampledHist

V9 = Schema.load("v9")
AXIS = hist.axis.Regular(4, 0, 4, name="x")
_EXTENT = 6


def brute_force(x, gen, weight, k):
    """Sums, variances and covariances by the formula, one gen event after another; flow bins at the ends."""
    by_gen = defaultdict(lambda: np.zeros(_EXTENT))
    for one, number, w in zip(x, gen, weight, strict=True):
        by_gen[number][int(np.clip(np.floor(one), -1, 4)) + 1] += w / k
    sums = np.array(list(by_gen.values())).reshape(-1, _EXTENT)
    return sums.sum(axis=0), (sums**2).sum(axis=0), sums.T @ sums


@st.composite
def samples(draw):
    """Entries of some gen events, adjacent, as an analysis might have them: none, one, many; any sign."""
    numbers = draw(st.lists(st.integers(0, 10**12), unique=True, min_size=1, max_size=8).map(sorted))
    gen = [number for number in numbers for _ in range(draw(st.integers(0, 6)))]
    values = st.floats(-2, 6, allow_nan=False, width=32)
    x = draw(st.lists(values, min_size=len(gen), max_size=len(gen)))
    weight = draw(st.lists(st.sampled_from([1.0, -1.0, 0.5, 2.25]), min_size=len(gen), max_size=len(gen)))
    cuts = draw(st.lists(st.integers(0, len(gen)), max_size=5).map(sorted))
    return np.array(x), np.array(gen, dtype=np.uint64), np.array(weight), [0, *cuts, len(gen)]


def fill(parts, *, k=4, covariance=True):
    made = OversampledHist(AXIS, covariance=covariance)
    for x, gen, weight in parts:
        made.fill(x, gen_event=gen, weight=weight, oversample=k)
    return made


@settings(max_examples=150)
@given(samples())
def test_sums_and_uncertainties_follow_the_formula_however_the_input_is_cut(sample):
    x, gen, weight, cuts = sample
    value, variance, covariance = brute_force(x, gen, weight, 4)
    parts = [(x[a:b], gen[a:b], weight[a:b]) for a, b in itertools.pairwise(cuts)]
    made = fill(parts)
    # weights are multiples of 1/16 here, so that sums are exact in any order
    view = made.hist().view(flow=True)
    np.testing.assert_array_equal(view.value, value)
    np.testing.assert_array_equal(view.variance, variance)
    np.testing.assert_array_equal(made.covariance(flow=True), covariance)
    np.testing.assert_array_equal(made.covariance(), covariance[1:-1, 1:-1])
    assert made.entries == len(x)
    # the table of few bins and the sparse sums give the same
    np.testing.assert_array_equal(fill(parts, covariance=False).variances(flow=True), variance)


@settings(max_examples=100)
@given(samples(), st.randoms(use_true_random=False))
def test_partial_histograms_add_up_exactly_in_any_order(sample, random):
    x, gen, weight, cuts = sample
    parts = [fill([(x[a:b], gen[a:b], weight[a:b])]) for a, b in itertools.pairwise(cuts)]
    random.shuffle(parts)
    # as they come back from other processes
    total = OversampledHist(AXIS, covariance=True)
    for part in parts:
        total = total + pickle.loads(pickle.dumps(part))
    _, variance, covariance = brute_force(x, gen, weight, 4)
    np.testing.assert_array_equal(total.variances(flow=True), variance)
    np.testing.assert_array_equal(total.covariance(flow=True), covariance)


@settings(max_examples=50)
@given(samples(), st.randoms(use_true_random=False))
def test_entries_in_any_order_within_a_fill(sample, random):
    x, gen, weight, _ = sample
    order = list(range(len(x)))
    random.shuffle(order)
    made = fill([(x[order], gen[order], weight[order])])
    np.testing.assert_array_equal(made.variances(flow=True), brute_force(x, gen, weight, 4)[1])


@given(st.lists(st.floats(-2, 6, allow_nan=False), max_size=30), st.booleans())
@settings(max_examples=50)
def test_without_oversampling_it_is_an_ordinary_histogram(x, negative):
    weight = np.where(np.arange(len(x)) % 3 == 0, -0.5 if negative else 0.5, 2.0)
    made = OversampledHist(AXIS).fill(np.array(x), gen_event=np.arange(len(x)), weight=weight).hist()
    known = hist.Hist(AXIS, storage=hist.storage.Weight()).fill(np.array(x), weight=weight)
    np.testing.assert_allclose(made.view(flow=True).value, known.view(flow=True).value)
    np.testing.assert_allclose(made.view(flow=True).variance, known.view(flow=True).variance)


def test_a_gen_event_wholly_in_one_bin_counts_once():
    made = OversampledHist(AXIS).fill(np.full(10, 1.5), gen_event=np.full(10, 7), oversample=10).hist()
    np.testing.assert_allclose(made.values(), [0, 1, 0, 0])
    np.testing.assert_allclose(made.variances(), [0, 1, 0, 0])
    spread = OversampledHist(AXIS).fill([0.5, 1.5, 2.5, 3.5], gen_event=[7] * 4, oversample=4).hist()
    np.testing.assert_allclose(spread.variances(), np.full(4, 1 / 16))


def test_several_axes_with_and_without_flow_bins():
    rng = np.random.default_rng(3)
    axes = (
        hist.axis.Regular(5, -1, 1, name="a"),
        hist.axis.StrCategory(["mu", "e"], name="flavour"),
        hist.axis.Regular(3, -1, 1, flow=False, name="b"),
        hist.axis.Regular(4, 0, 1, circular=True, name="c"),
    )
    n = 400
    values = (
        rng.normal(size=n),
        rng.choice(["mu", "e", "tau"], n),
        rng.normal(size=n),
        rng.uniform(-1, 2, n),
    )
    weight = rng.choice([1.0, -0.5], n)
    made = OversampledHist(*axes).fill(*values, gen_event=np.arange(n), weight=weight).hist()
    known = hist.Hist(*axes, storage=hist.storage.Weight()).fill(*values, weight=weight)
    np.testing.assert_allclose(made.view(flow=True).value, known.view(flow=True).value)
    np.testing.assert_allclose(made.view(flow=True).variance, known.view(flow=True).variance)


def test_nan_is_overflow():
    made = OversampledHist(AXIS).fill([np.nan, 1.0], gen_event=[1, 1]).hist()
    np.testing.assert_array_equal(made.values(flow=True), [0, 0, 1, 0, 0, 1])


def test_jagged_and_missing_values():
    pt = ak.Array([[0.5, 0.6], [], [1.5], [3.5, 9.0]])
    made = OversampledHist(AXIS).fill(
        pt, gen_event=np.array([4, 4, 5, 5]), weight=ak.Array([1.0, 1.0, -1.0, 2.0])
    )
    value, variance, _ = brute_force([0.5, 0.6, 1.5, 3.5, 9.0], [4, 4, 5, 5, 5], [1, 1, -1, 2, 2], 1)
    np.testing.assert_array_equal(made.hist().values(flow=True), value)
    np.testing.assert_array_equal(made.variances(flow=True), variance)
    leading = OversampledHist(AXIS).fill(ak.firsts(pt), gen_event=[4, 4, 5, 5])
    np.testing.assert_array_equal(leading.hist().values(), [1, 1, 0, 1])


def test_a_gen_event_that_comes_again_too_late_is_refused():
    made = OversampledHist(AXIS).fill([1, 1, 1], gen_event=[1, 2, 3])
    made.fill([1, 1], gen_event=[3, 4])
    with pytest.raises(ValueError, match=r"gen event 2 .*one fill"):
        made.fill([1], gen_event=[2])
    with pytest.raises(ValueError, match="gen event 2 "):
        made + OversampledHist(AXIS).fill([1, 1, 1], gen_event=[0, 2, 9])
    with pytest.raises(ValueError, match="gen event 3 "):
        # 3 may go on, but not in the middle of what another fill calls complete
        made + OversampledHist(AXIS).fill([1, 1, 1], gen_event=[0, 3, 9])


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: OversampledHist(hist.axis.StrCategory([], growth=True)), "grows"),
        (lambda: OversampledHist(hist.axis.Regular(6000, 0, 1), covariance=True), "too many"),
        (lambda: OversampledHist(AXIS).fill([1, 2], gen_event=[1, 2, 3]), "3 gen events"),
        (lambda: OversampledHist(AXIS).fill([1], [2], gen_event=[1]), "1 axes, but values for 2"),
        (lambda: OversampledHist(AXIS).covariance(), "covariance=True"),
        (lambda: OversampledHist(AXIS) + OversampledHist(hist.axis.Regular(5, 0, 4)), "different axes"),
    ],
)
def test_misuse_is_refused(make, problem):
    with pytest.raises(ValueError, match=problem):
        make()


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> tuple[Path, np.ndarray, np.ndarray]:
    """A NANOAOD file of 40 gen events with 5 folds, with its variances of MET_pt and Jet_pt."""
    from flashsim_prod.physics.events import Collection, Events

    rng = np.random.default_rng(8)
    gen = np.repeat(np.arange(40), 5)
    counts = rng.poisson(2, 200)
    jet_pt, met = (rng.uniform(-1, 5, n).astype(np.float32) for n in (counts.sum(), 200))
    scalars = {
        "run": np.ones(200, np.uint32),
        "luminosityBlock": np.ones(200, np.uint32),
        "event": np.arange(200, dtype=np.uint64),
        "genWeight": np.ones(200, np.float32),
        "MET_pt": met,
        "MET_phi": np.zeros(200, np.float32),
        "FlashSim_genEvent": gen.astype(np.uint64),
        "FlashSim_fold": np.tile(np.arange(5, dtype=np.int32), 40),
        "FlashSim_oversample": np.full(200, 5, np.int32),
    }
    # coffea makes no four-vectors of less
    jets = {"pt": jet_pt} | {name: np.zeros_like(jet_pt) for name in ("eta", "phi", "mass")}
    path = tmp_path_factory.mktemp("interop") / "events.root"
    with NanoWriter(path, schema=V9, provenance={}) as writer:
        writer.write(Events(200, scalars, {"Jet": Collection(counts.astype(np.int64), jets)}))
    import uproot

    # as stored, with fewer bits
    stored = uproot.open(path)["Events"].arrays()
    of_met = brute_force(stored["MET_pt"].to_numpy(), gen, np.ones(200), 5)[1]
    of_jets = brute_force(
        ak.flatten(stored["Jet_pt"]).to_numpy(), np.repeat(gen, counts), np.ones(counts.sum()), 5
    )[1]
    return path, of_met, of_jets


def test_filling_from_nano_events(file):
    from coffea.nanoevents import NanoAODSchema, NanoEventsFactory

    path, of_met, of_jets = file
    events = NanoEventsFactory.from_root({str(path): "Events"}, schemaclass=NanoAODSchema).events()
    k = events.FlashSim.oversample
    met = OversampledHist(AXIS).fill_events(events, events.MET.pt, oversample=k)
    jets = OversampledHist(AXIS).fill_events(events, events.Jet.pt, oversample=k)
    np.testing.assert_allclose(met.variances(flow=True), of_met)
    np.testing.assert_allclose(jets.variances(flow=True), of_jets)


def test_filling_from_what_uproot_reads(file):
    import uproot

    path, of_met, of_jets = file
    met, jets = OversampledHist(AXIS), OversampledHist(AXIS)
    tree = uproot.open(path)["Events"]
    for events in tree.iterate(["MET_pt", "Jet_pt", "FlashSim_genEvent"], step_size=33):
        met.fill_events(events, events["MET_pt"], oversample=5)
        jets.fill_events(events, events["Jet_pt"], oversample=5)
    np.testing.assert_allclose(met.variances(flow=True), of_met)
    np.testing.assert_allclose(jets.variances(flow=True), of_jets)


_RECIPE = """
import awkward as ak, hist, numpy as np, ROOT
from flashsim_prod.physics.oversampling import OversampledHist
ROOT.EnableImplicitMT(2)
df = ROOT.RDataFrame("Events", {path!r}).Define("w", "genWeight / FlashSim_oversample")
a = ak.from_rdataframe(df, columns=("MET_pt", "Jet_pt", "FlashSim_genEvent", "w"))
axis = hist.axis.Regular(4, 0, 4, name="x")
for name in ("MET_pt", "Jet_pt"):
    made = OversampledHist(axis).fill_events(a, a[name], weight=a["w"])
    print(*made.variances(flow=True))
"""


def test_the_recipe_for_rdataframe(file, root_python):
    path, of_met, of_jets = file
    done = subprocess.run(
        [root_python, "-c", _RECIPE.format(path=str(path))], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    lines = [[float(word) for word in line.split()] for line in done.stdout.splitlines()[-2:]]
    np.testing.assert_allclose(lines, [of_met, of_jets])


def test_it_loads_nothing_of_the_simulation():
    code = "import sys, flashsim_prod.physics.oversampling; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "uproot", "awkward", "matplotlib", "pythia8mc"} & set(done.stdout.split())
