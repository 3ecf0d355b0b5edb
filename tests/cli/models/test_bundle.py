"""``bundle`` on the command line: out of one place and into another, by the documented format."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flashsim_prod import resources
from flashsim_prod.physics.chain.bundle import MANIFEST, load_bundle, shipped_bundles
from flashsim_prod.physics.nanoaod.reader import NanoFile
from flashsim_prod.production.home import Home

Cli = Callable[..., Any]
SCRIPT = Path(__file__).parents[2] / "outside" / "write_bundle.py"


@pytest.fixture(scope="module")
def linear(training_sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Networks for jets, by a script that knows nothing of this package but the tables of `train extract`."""
    folder = tmp_path_factory.mktemp("outside")
    program = [sys.executable, "-m", "flashsim_prod.cli", "bundle", "format", "jet_from_genjet", "--json"]
    contract = subprocess.run(program, check=True, capture_output=True, text=True).stdout
    (folder / "contract.json").write_text(contract)
    table = training_sample / "work" / "tables" / "jet_from_genjet" / "full.safetensors"
    command = [sys.executable, "-I", str(SCRIPT), "contract.json", str(table), "linear"]
    subprocess.run(command, cwd=folder, check=True)
    return folder / "linear"


def test_networks_made_outside_are_imported_and_make_a_dataset(cli: Cli, home: Home, linear: Path) -> None:
    told = cli("bundle", "import", str(linear))
    assert told.code == 11
    assert "jet_from_genjet needs fixedGridRhoFastjetAll" in told.complaint
    assert "--base reference" in told.complaint
    told = cli("bundle", "import", str(linear), "--base", "reference")
    assert (told.code, "imported, 25 models" in told.out) == (0, True)
    assert "25 models (1 of its own, 24 of reference), digest " in told.out
    again = cli("bundle", "import", str(linear), "--base", "reference")
    assert (again.code, "there already" in again.out) == (0, True)
    for_programs = cli("bundle", "import", str(linear), "--base", "reference", "--json").json
    assert (for_programs["models"], for_programs["own_models"]) == (25, ["jet_from_genjet"])
    assert cli("bundle", "verify", "linear").code == 0
    assert [one["name"] for one in cli("bundle", "list", "--json").json] == [*shipped_bundles(), "linear"]

    asked = ("--events", "100", "--oversample", "10", "--seed", "5", "--bundle", "linear", "--json")
    told = cli("request", "ttbar", *asked)
    assert told.code == 0
    digest = load_bundle(home.path / "bundles" / "linear").digest
    with NanoFile(str(*home.path.glob("store/**/*.root"))) as file:
        assert file.provenance()["bundle_digest"] == (digest,)
        jets = file.read(["Jet_pt", "Jet_genJetIdx"], 0, file.n_entries)["Jet"]
        gen = file.read(["GenJet_pt"], 0, file.n_entries)["GenJet"]
    matched = jets.select(jets["genJetIdx"] >= 0)
    # what a line through the conditions can tell: how many jets are seen, and with what pt
    assert 0.7 < matched.n_objects / gen.n_objects < 1
    source = gen["pt"][gen.starts[matched.event_index] + matched["genJetIdx"]]
    assert 0.9 < (matched["pt"] / source).mean() < 1.2


def test_a_bundle_goes_out_and_in_as_one_file(cli: Cli, home: Home, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    shutil.copytree(resources.bundles_dir() / "reference", mine)
    path = mine / MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()) | {"name": "mine", "tag": "Mine"}))
    digest = load_bundle(mine).digest
    archive = tmp_path / "mine.tar"
    told = cli("bundle", "export", str(mine), "-o", str(archive))
    assert (told.code, digest in told.out) == (0, True)
    shutil.rmtree(mine)
    assert cli("bundle", "import", str(archive)).code == 0
    assert cli("bundle", "show", "mine", "--json").json["digest"] == digest
    # jobs elsewhere are sent the folder that the request names
    assert cli("request", "ttbar", "--events", "10", "--bundle", "mine", "--dry-run", "--name", "r").code == 0
    text = (home.requests / "r" / "request.yaml").read_text()
    assert f"path: {home.path / 'bundles' / 'mine'}" in text
    assert "Mine_x1" in text
    asked = ("--events", "10", "--bundle", "mine", "--site", "lxbatch", "--name", "pool", "--dry-run")
    assert cli("request", "ttbar", *asked).code == 0
    lines = (home.folder("pool").batch / "simulate.sub").read_text().splitlines()
    (sent,) = (line for line in lines if line.startswith("transfer_input_files"))
    assert str(home.path / "bundles" / "mine") in sent


def test_another_bundle_of_the_same_name_is_refused(cli: Cli, home: Home, tmp_path: Path) -> None:
    for title in ("first", "second"):
        folder = tmp_path / title
        shutil.copytree(resources.bundles_dir() / "reference", folder)
        path = folder / MANIFEST
        path.write_text(json.dumps(json.loads(path.read_text()) | {"name": "mine", "title": title}))
    assert cli("bundle", "import", str(tmp_path / "first")).code == 0
    told = cli("bundle", "import", str(tmp_path / "second"))
    assert told.code == 11
    assert "another bundle called mine" in told.complaint
    assert load_bundle(home.path / "bundles" / "mine").title == "first"
    # nothing of the attempt is left
    assert [path.name for path in (home.path / "bundles").iterdir()] == ["mine"]
    manifest = tmp_path / "second" / MANIFEST
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"name": "reference"}))
    assert "another bundle called reference" in cli("bundle", "import", str(tmp_path / "second")).complaint


def test_a_bundle_that_jobs_cannot_run_is_refused_before_them(cli: Cli, home: Home, tmp_path: Path) -> None:
    shutil.copytree(resources.bundles_dir() / "reference", tmp_path / "old")
    path = tmp_path / "old" / MANIFEST
    manifest = json.loads(path.read_text())
    last = manifest["models"]["met"]["targets"].pop()
    path.write_text(json.dumps(manifest))
    told = cli("request", "ttbar", "--events", "10", "--bundle", str(tmp_path / "old"), "--dry-run")
    assert told.code == 11
    assert "across is not drawn by met, and what else follows from it in MET needs it" in told.complaint
    manifest["models"]["met"]["targets"].insert(0, last)
    path.write_text(json.dumps(manifest))
    told = cli("request", "ttbar", "--events", "10", "--bundle", str(tmp_path / "old"), "--dry-run")
    assert told.code == 11
    assert "model met of the bundle was made for other targets" in told.complaint
    del manifest["models"]["event_scalars"]
    manifest["models"].pop("met")
    path.write_text(json.dumps(manifest))
    told = cli("request", "ttbar", "--events", "10", "--bundle", str(tmp_path / "old"), "--dry-run")
    assert told.code == 11
    assert "which no model of this bundle makes" in told.complaint


def test_the_format_is_printed_whole_and_for_one_model(cli: Cli) -> None:
    page = cli("bundle", "format").out
    assert "# The format of a model bundle" in page
    for key in ("schema_version", "velocity.from_context.weight", "multiplicity.knots", "target.<target>"):
        assert key in page
    told = cli("bundle", "format", "met", "--json").json
    assert told["most"] == 0
    assert not any(name.startswith("multiplicity") for name in told["tensors"])
    target = told["targets"][0].split(":")[0]
    assert told["tensors"][f"{target}.cdf"] == told["tensors"][f"{target}.value"] == ["knots"]
    assert "velocity.leave.bias" in cli("bundle", "format", "met").out


@pytest.mark.parametrize(
    ("arguments", "code", "complaint"),
    [
        (["show", "referense"], 11, "no bundle 'referense'; did you mean 'reference'?"),
        (["verify", "."], 11, "no bundle there, manifest.json is missing"),
        (["export", "nothing"], 11, "no bundle 'nothing'"),
        (["export", "-o", "nowhere/x.tar"], 20, "nowhere/x.tar: No such file"),
        (["import", "nothing"], 11, "nothing: no such folder or file"),
        (["import", __file__], 11, "neither a bundle's folder nor a tar archive of one"),
        (["verify", __file__], 11, "if it is an archive: flashsim-prod bundle import"),
        (["import", ".", "--base", "reference"], 11, "manifest.json: cannot be read"),
        (["format", "jet_from_genjat"], 2, "did you mean 'jet_from_genjet'?"),
    ],
)
def test_wrong_input_is_told_in_one_line(
    cli: Cli,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    arguments: list[str],
    code: int,
    complaint: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    told = cli("bundle", *arguments)
    assert (told.code, complaint in told.complaint) == (code, True), told.err


def test_show_says_the_kinds_and_what_a_bundle_lacks(cli: Cli, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(resources.bundles_dir() / "reference", tmp_path / "old"))
    manifest = json.loads((folder / MANIFEST).read_text())
    jets = manifest["models"]["jet_from_genjet"]
    jets["targets"] = [one for one in jets["targets"] if one.split(":")[0] not in ("area", "qgl")]
    (folder / MANIFEST).write_text(json.dumps(manifest))
    told = cli("bundle", "show", str(folder))
    assert "jet_from_genjet lacks area (left out), qgl (drawn as -1 everywhere)\n" in told.out
    lacking = {"area": None, "qgl": -1.0}
    assert cli("bundle", "show", str(folder), "--json").json["lacks"] == {"jet_from_genjet": lacking}
    one = cli("bundle", "show", str(folder), "jet_from_genjet").out
    assert "kind      flow\n" in one
    assert "lacks     area (left out), qgl (drawn as -1 everywhere)\n" in one
    assert cli("bundle", "show", str(folder), "jet_from_genjet", "--json").json["lacks"] == lacking
    assert " lacks " not in cli("bundle", "show").out
    assert "kind        flow" in cli("bundle", "format", "met").out
