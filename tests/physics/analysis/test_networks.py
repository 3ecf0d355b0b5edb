"""Networks of an analysis: what torch's layers give, and files that are none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from flashsim_prod import resources
from flashsim_prod.core.analyses.config import Activation, Analysis, Network
from flashsim_prod.errors import ConfigError
from flashsim_prod.physics.analysis.model import Regression
from flashsim_prod.physics.analysis.networks import load_network, with_digests
from flashsim_prod.physics.events import Collection, Events
from flashsim_prod.production.models.analyses import read_config

LAYERS: dict[str, torch.nn.Module] = {
    "relu": torch.nn.ReLU(),
    "leaky_relu": torch.nn.LeakyReLU(),
    "elu": torch.nn.ELU(),
    "silu": torch.nn.SiLU(),
    "tanh": torch.nn.Tanh(),
    "sigmoid": torch.nn.Sigmoid(),
    "none": torch.nn.Identity(),
}


def saved(path: Path, hidden: str = "relu", output: str = "sigmoid") -> torch.nn.Sequential:
    """A network of three inputs in a file. With eleven layers, names do not come in the order of letters."""
    torch.manual_seed(1)
    between = [part for _ in range(4) for part in (torch.nn.Linear(5, 5), LAYERS[hidden])]
    net = torch.nn.Sequential(
        torch.nn.Linear(3, 5), LAYERS[hidden], *between, torch.nn.Linear(5, 1), LAYERS[output]
    )
    save_file({name: one.numpy() for name, one in net.state_dict().items()}, path)
    return net


@pytest.mark.parametrize(
    ("hidden", "output"), [*((one, "sigmoid") for one in LAYERS), ("relu", "none"), ("tanh", "tanh")]
)
def test_it_gives_what_torch_gives(tmp_path: Path, hidden: str, output: str) -> None:
    net = saved(tmp_path / "net.safetensors", hidden, output)
    network = Network(
        file="net.safetensors", inputs=("1", "2", "3"), hidden=Activation(hidden), output=Activation(output)
    )
    inputs = np.random.default_rng(1).normal(size=(50, 3))
    expected = net(torch.from_numpy(inputs.astype(np.float32)))[:, 0].detach().numpy()
    assert np.ptp(expected) > 0
    found = load_network(network, tmp_path, "x.yaml")
    np.testing.assert_allclose(found(inputs), expected, rtol=1e-5, atol=1e-6)
    inputs[3, 1] = np.nan
    assert np.flatnonzero(np.isnan(found(inputs))).tolist() == [3]


def test_every_activation_is_tested() -> None:
    assert {one.value for one in Activation} == set(LAYERS)


def _tensors(**changes: Any) -> dict[str, Any]:
    good = {
        "0.weight": np.ones((4, 2), np.float32),
        "0.bias": np.zeros(4, np.float32),
        "2.weight": np.ones((1, 4), np.float32),
        "2.bias": np.zeros(1, np.float32),
    }
    found = good | {name.replace("_", "."): one for name, one in changes.items()}
    return {name: one for name, one in found.items() if one is not None}


@pytest.mark.parametrize(
    ("tensors", "told"),
    [
        (_tensors(**{"0_weight": np.ones((4, 3), np.float32)}), "layer 1 has a weight of 4 x 3 .* 2 inputs"),
        (_tensors(**{"2_weight": np.ones((1, 5), np.float32)}), "layer 2 .* 4 numbers of the layer before"),
        (_tensors(**{"2_bias": None}), "'2.bias' is missing"),
        (
            _tensors(**{"2_weight": np.ones((2, 4), np.float32), "2_bias": np.ones(2, np.float32)}),
            "2 numbers come out",
        ),
        (_tensors(**{"1_running": np.ones(4, np.float32)}), "'1.running' is no weight or bias"),
        (_tensors(**{"0_bias": np.full(4, np.nan, np.float32)}), "'0.bias' does not hold finite numbers"),
        (_tensors(**{"0_bias": np.ones(4, np.int64)}), "'0.bias' does not hold finite numbers"),
        ({}, "holds no tensors"),
    ],
)
def test_what_is_no_network(tmp_path: Path, tensors: dict[str, Any], told: str) -> None:
    save_file(tensors, tmp_path / "net.safetensors")
    with pytest.raises(ConfigError, match=rf"x\.yaml: networks\.n\.file: .*{told}"):
        load_network(Network(file="net.safetensors", inputs=("1", "2")), tmp_path, "x.yaml: networks.n")


def test_files_that_are_none(tmp_path: Path) -> None:
    network = Network(file="net.safetensors", inputs=("1", "2", "3"))
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        load_network(network, tmp_path, "x")
    (tmp_path / "net.safetensors").write_text("no tensors")
    with pytest.raises(ConfigError, match="is no file of safetensors"):
        load_network(network, tmp_path, "x")
    saved(tmp_path / "net.safetensors")
    told = network.model_copy(update={"sha256": "0" * 64})
    with pytest.raises(ConfigError, match="another network than that which was learned from"):
        load_network(told, tmp_path, "x")


ANALYSIS: dict[str, Any] = {
    "name": "few",
    "title": "a few jets",
    "objects": {"jets": "Jet[Jet.pt > 30]"},
    "networks": {
        "net": {"file": "net.safetensors", "inputs": ["ht / 100", "count(jets)", "jets.pt[0] / 50"]}
    },
    "selection": "(count(jets) > 0) & (net > 0.2)",
    "variables": {
        "ht": {"value": "sum(jets.pt)", "title": "HT"},
        "dnn": {"value": "net", "title": "network"},
    },
}


def test_its_output_is_a_variable_and_can_be_selected_by(tmp_path: Path) -> None:
    net = saved(tmp_path / "net.safetensors")
    analysis = with_digests(Analysis(**ANALYSIS), tmp_path, "x")
    jets = Collection(np.array([2, 0, 1]), {"pt": np.array([50.0, 40.0, 35.0])}, "Jet")
    events = Events(3, {}, {"Jet": jets})
    passes, values = Regression(analysis, "x", tmp_path).reconstructed(events)
    inputs = torch.tensor([[0.9, 2, 1], [0.35, 1, 0.7]])
    expected = net(inputs)[:, 0].detach().numpy()
    np.testing.assert_allclose(values["dnn"][[0, 2]], expected, rtol=1e-5)
    assert np.isnan(values["dnn"][1])
    assert passes.tolist() == [True, False, True]
    assert analysis.networks["net"].sha256 is not None
    # what was learned draws without the file
    (tmp_path / "net.safetensors").unlink()
    assert "GenJet" in Regression(analysis, "x").gen_needs


def test_what_networks_cannot_see(tmp_path: Path) -> None:
    saved(tmp_path / "net.safetensors")
    late = {**ANALYSIS, "variables": dict(reversed(ANALYSIS["variables"].items()))}
    for changed, told in (
        (late, r"networks\.net\.inputs: unknown column 'ht'"),
        ({**ANALYSIS, "selection": "nett > 0.5"}, "did you mean 'net'"),
    ):
        with pytest.raises(ConfigError, match=told):
            Regression(Analysis(**changed), "x", tmp_path).needs  # noqa: B018
    with pytest.raises(ValueError, match="'net' is the name of objects, too"):
        Analysis(**{**ANALYSIS, "objects": {"jets": "Jet", "net": "Jet"}})


def test_an_analysis_without_networks_is_written_as_before_there_were_any() -> None:
    bare = {key: value for key, value in ANALYSIS.items() if key != "networks"} | {"selection": "ht > 1"}
    assert "networks" not in Analysis(**bare).model_dump_json()


@pytest.mark.parametrize(
    "path", sorted((resources.jobs_dir() / "analyses").glob("*.yaml")), ids=lambda p: p.stem
)
def test_shipped_examples(path: Path) -> None:
    found = read_config(path)
    assert found.name == path.stem
    regression = Regression(with_digests(found.analysis(), path.parent, path.name), path.name, path.parent)
    assert regression.needs


def test_all_that_away_from_reads_is_known() -> None:
    analysis = Analysis(
        name="far", title="far jets", selection="n > 0",
        variables={"n": {"value": "count(away_from(Jet, Muon, 0.4))", "title": "n"}},
    )  # fmt: skip
    assert {"Jet_eta", "Jet_phi", "Muon_eta", "Muon_phi"} <= set(Regression(analysis, "x").needs)
