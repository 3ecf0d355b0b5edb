"""What a bundle gives of each version of NanoAOD, and whether the documentation says the same."""

from __future__ import annotations

import os
import re
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from flashsim_prod.physics.chain.coverage import coverage, made_branches
from flashsim_prod.physics.chain.registry import MODELS, find_model, models_of
from flashsim_prod.physics.nanoaod.reader import NanoFile
from flashsim_prod.physics.nanoaod.schema import Schema
from flashsim_prod.physics.nanoaod.versions.names import writing

PAGE = Path(__file__).parents[3] / "docs" / "nanoaod.md"


def _patterns() -> list[str]:
    """The branches of the page's table of what is missing."""
    return [one for row in _rows() for one in _named(row)]


def _rows() -> list[str]:
    text = PAGE.read_text(encoding="utf-8")
    rows = text[text.index("| Branches |") : text.index("## Models of v15")].splitlines()
    return [row for row in rows if row.startswith("| `")]


def _named(row: str) -> list[str]:
    return re.findall(r"`([^`]+)`", row.split("|")[1])


def test_nothing_is_left_out_of_the_version_that_models_are_made_for() -> None:
    found = coverage(MODELS, "v9", "v9")
    assert (found.left_out, found.renamed, found.otherwise) == ({}, {}, {})
    assert "Jet_pt" not in found.absent
    assert "Flag_goodVertices" in found.absent


def test_what_becomes_of_all_models_in_v15() -> None:
    found = coverage(MODELS, "v9", "v15")
    assert found.renamed["PFMET_pt"] == "MET_pt"
    assert found.left_out["Jet_btagCSVV2"] == "v15 has no such branch"
    assert "another training" in found.left_out["Electron_cutBased"]
    assert "Electron_cutBased" in found.absent
    assert not {"Electron_superclusterEta", "PFMET_ptUnclusteredUp"} & set(found.absent)
    assert found.otherwise.keys() == {"Jet"}
    made = set(made_branches(MODELS))
    written = {name for name in made if name not in found.left_out}
    v15 = Schema.load("v15")
    assert {found.version, v15.version} == {"v15"}
    back = {declared: own for own, declared in found.renamed.items()}
    assert {back.get(name, name) for name in written} <= v15.branches.keys()


@pytest.mark.parametrize("made_for", ["v9", "v15"])
@pytest.mark.parametrize("version", ["v9", "v15"])
def test_all_that_models_make_is_written_or_told(made_for: str, version: str) -> None:
    models, way = models_of(made_for), writing(made_for, version)
    left_out = coverage(models, made_for, version).left_out
    made = [name for name in made_branches(models) if name not in left_out]
    assert len(made) > 250
    assert not [name for name in made if way.dialect.own(name) not in way.schema.branches]


def test_a_bundle_with_one_model_is_covered_too() -> None:
    found = coverage([find_model("event_scalars")], "v9", "v15")
    assert found.otherwise == {}
    assert "Jet_pt" in found.absent
    assert found.renamed["Rho_fixedGridRhoFastjetAll"] == "fixedGridRhoFastjetAll"


def test_the_documentation_tells_why_each_branch_is_missing() -> None:
    patterns = _patterns()
    missing = [name for name in coverage(MODELS, "v9", "v15").absent if not name.startswith("FlashSim_input")]
    assert not [name for name in missing if not any(fnmatchcase(name, one) for one in patterns)]


def _theirs() -> set[str]:
    """The branches of a real file of v15 beside counters; those of a skim have one for each branch."""
    folder = os.environ.get("FLASHSIM_PROD_NANO_SAMPLES")
    if not folder:
        pytest.skip("FLASHSIM_PROD_NANO_SAMPLES names no folder of NanoAOD files")
    schema = Schema.load("v15")
    with NanoFile(str(Path(folder) / "ttbar_v15.root")) as file:
        return {name for name in file.branches if not name.startswith("n") or name in schema.branches}


@pytest.mark.parametrize(("made_for", "column"), [("v9", 2), ("v15", 3)])
def test_the_documentation_counts_what_of_a_real_file_is_missing(made_for: str, column: int) -> None:
    theirs = _theirs()
    absent = set(coverage(models_of(made_for), made_for, "v15").absent)
    missing = {name for name in theirs if name in absent or name not in Schema.load("v15").branches}
    text = PAGE.read_text(encoding="utf-8")
    assert f"{len(theirs):,} branches beside counters" in text
    assert str(len(theirs) - len(missing)) in text.partition("| Branches |")[0].splitlines()[-2]
    for row in _rows():
        found = {name for name in missing if any(fnmatchcase(name, one) for one in _named(row))}
        assert row.split("|")[column].strip() == f"{len(found):,}", row
        missing -= found
    assert missing == set()


def test_the_documentation_tells_why_each_branch_of_a_real_file_is_missing() -> None:
    theirs = _theirs()
    patterns, schema = _patterns(), Schema.load("v15")
    absent = set(coverage(MODELS, "v9", "v15").absent)
    missing = {name for name in theirs if name in absent or name not in schema.branches}
    assert not [name for name in missing if not any(fnmatchcase(name, one) for one in patterns)]
    # and what is said to be missing is
    made = theirs - missing
    unused = [one for one in patterns if not any(fnmatchcase(name, one) for name in missing)]
    assert unused == []
    assert not [name for name in made if any(fnmatchcase(name, one) for one in patterns)]
    assert len(made) > 300
