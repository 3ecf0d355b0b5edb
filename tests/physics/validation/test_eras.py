"""What is of other years than what it is compared with is said, in a line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import uproot

from flashsim_prod.physics.nanoaod.reader import NanoFile
from flashsim_prod.physics.validation.eras import Years, remarks, years_of

OURS = (Years.of("UL18"),)
MODELS = {"software": "flashsim-prod 1", "bundle_digest": "0" * 64}


def test_the_same_years_need_no_word() -> None:
    assert remarks("mine", OURS, [("full.root", Years.of("UL18"))]) == ()


@pytest.mark.parametrize(
    ("theirs", "told"),
    [
        (Years.of("UL16postVFP"), "full.root is of UL16postVFP at 13 TeV, mine of UL18 at 13 TeV: what"),
        (Years.of("Run3_2022"), "full.root is of Run3_2022 at 13.6 TeV, mine of UL18 at 13 TeV: what"),
        (Years(), "full.root: nothing tells its era; mine is of UL18 at 13 TeV"),
        (Years(unknown="campaign X is not known"), "full.root: campaign X is not known; mine is of UL18"),
        # models of 2018 at another energy
        (Years("UL18", 13.6), "full.root is of UL18 at 13.6 TeV, mine of UL18 at 13 TeV: what"),
    ],
)
def test_other_years_are_told_in_a_line(theirs: Years, told: str) -> None:
    (line,) = remarks("mine", OURS, [("full.root", theirs), ("same.root", Years.of("UL18"))])
    assert line.startswith(told)
    assert "\n" not in line


def test_what_is_not_known_of_the_dataset_is_told() -> None:
    assert remarks("mine", (Years(),), [("full.root", Years.of("UL18"))]) == (
        "mine: nothing tells its era; full.root is of UL18 at 13 TeV",
    )
    (line,) = remarks("mine", (*OURS, Years()), [("full.root", Years.of("UL18"))])
    assert line == "mine is of several years, UL18 at 13 TeV and unknown ones"


@pytest.mark.parametrize(
    ("about", "years"),
    [
        (MODELS, Years.of("UL18")),
        ({**MODELS, "era": "UL16postVFP", "energy_tev": "13"}, Years.of("UL16postVFP")),
        ({**MODELS, "energy_tev": "13.6", "nano": "v15", "made_for_nano": "v9"}, Years("UL18", 13.6)),
        ({**MODELS, "energy_tev": "13.6", "nano": "v15", "made_for_nano": "v15"}, Years.of("Run3_2022")),
        ({"software": "flashsim-prod 1", "detector": "reference detector (x)"}, Years.of("UL18")),
        ({"dataset": "/TT/RunIISummer20UL17NanoAODv9-v1/NANOAODSIM"}, Years.of("UL17")),
        ({}, Years()),
    ],
)
def test_files_tell_their_years(about: dict[str, str], years: Years, tmp_path: Path) -> None:
    with _file(tmp_path, about) as file:
        assert years_of(file) == years


def test_a_campaign_that_is_not_known_is_told_by_its_name(tmp_path: Path) -> None:
    with _file(tmp_path, {"dataset": "/TT/RunIIAutumn18NanoAODv7-v1/NANOAODSIM"}) as file:
        assert years_of(file).unknown.startswith("the era of campaign RunIIAutumn18 is not known")


def _file(folder: Path, about: dict[str, str]) -> NanoFile:
    path = folder / "file.root"
    with uproot.recreate(path) as made:
        made["Events"] = {"run": np.ones(1, np.uint32), "Jet_pt": np.ones(1, np.float32)}
        if about:
            made["MetaData"] = {name: [text] for name, text in about.items()}
    return NanoFile(str(path))
