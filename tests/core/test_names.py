"""Every name follows the grammar of the CMS data-management lexicon."""

from __future__ import annotations

import re
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashsim_prod.core.names import DatasetName, check_era, check_processing_string, check_request_name
from flashsim_prod.errors import RequestError

# the lexicon's own patterns, written down apart from the package's
_DATASET = re.compile(
    r"/[a-zA-Z][a-zA-Z0-9\-_]{0,98}/[a-zA-Z][a-zA-Z0-9_]*(-[a-zA-Z0-9_]+){0,2}-v[0-9]+/[A-Z\-]{1,99}"
)
_LFN = re.compile(
    r"/store/(mc|unmerged)/[a-zA-Z][a-zA-Z0-9\-_]*/[a-zA-Z][a-zA-Z0-9\-_]*/[A-Z\-]+"
    r"/[a-zA-Z0-9_]+-v[0-9]+/([a-zA-Z0-9\-_.]+/)+[a-zA-Z0-9\-_.]+\.root"
)
_letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
names = st.builds(
    DatasetName,
    primary=st.from_regex(r"[a-zA-Z][a-zA-Z0-9\-_]{0,98}", fullmatch=True),
    era=st.from_regex(r"[a-zA-Z][a-zA-Z0-9_]{0,20}", fullmatch=True),
    string=st.from_regex(r"[a-zA-Z0-9_]{1,40}", fullmatch=True),
    version=st.integers(1, 999),
)


@given(name=names)
def test_a_dataset_name_follows_the_grammar_and_comes_back(name: DatasetName) -> None:
    assert _DATASET.fullmatch(str(name))
    assert DatasetName.parse(str(name)) == name


@given(name=names, index=st.integers(0, 10**6))
def test_logical_file_names_follow_the_grammar(name: DatasetName, index: int) -> None:
    guid = uuid.UUID(int=index)
    for lfn in (name.lfn(index, guid), name.unmerged_lfn("ttbar-001", index)):
        assert _LFN.fullmatch(lfn)
        assert len(lfn) <= 500


def test_what_the_names_look_like() -> None:
    name = DatasetName(primary="TTTo2L2Nu_13TeV", era="FlashSim2018", string="RefDet_x10", version=2)
    guid = uuid.UUID("12345678-1234-5678-1234-567812345678")
    folder = "FlashSim2018/TTTo2L2Nu_13TeV/NANOAODSIM/RefDet_x10-v2"
    assert str(name) == "/TTTo2L2Nu_13TeV/FlashSim2018-RefDet_x10-v2/NANOAODSIM"
    assert name.block(guid) == f"{name}#{guid}"
    assert name.lfn(1234, guid) == f"/store/mc/{folder}/000001/{str(guid).upper()}.root"
    assert name.unmerged_lfn("r-1", 5) == f"/store/unmerged/{folder}/r-1/000000/simulate_000005.root"
    assert name.campaign == "FlashSim2018"


def test_a_users_files_are_where_the_site_says_and_the_era_is_the_campaigns() -> None:
    name = DatasetName(
        primary="TT_13TeV", era="jdoe", string="FlashSim2018_RefDet_x10", version=2, tier="USER"
    )
    guid = uuid.UUID("12345678-1234-5678-1234-567812345678")
    file = f"TT_13TeV/FlashSim2018_RefDet_x10-v2/000000/{str(guid).upper()}.root"
    assert name.campaign == "FlashSim2018"
    assert name.lfn(0, guid) == f"/store/user/rucio/jdoe/{file}"
    assert name.lfn(0, guid, "/store/user/{user}/flashsim") == f"/store/user/jdoe/flashsim/{file}"
    assert name.lfn(0, guid, "/store/group/phys_b2g/x/") == f"/store/group/phys_b2g/x/{file}"
    unmerged = name.unmerged_lfn("r-1", 5, "/store/user/{user}/flashsim")
    assert unmerged.startswith("/store/user/jdoe/flashsim/unmerged/TT_13TeV/")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ttbar",
        "/A/B/C",
        "/TT/Era-string-v1",
        "/TT/Era-string/NANOAODSIM",
        "/TT/Era-with-dash-v1/NANOAODSIM",
        "/1TT/Era-string-v1/NANOAODSIM",
        "/TT/Era-string-v1/NANOAODSIM#block",
        "/TT TT/Era-string-v1/NANOAODSIM",
    ],
)
def test_what_is_no_dataset_name_is_refused(text: str) -> None:
    with pytest.raises(RequestError, match="is no dataset name; the form is /Primary/Era-ProcString-vN/TIER"):
        DatasetName.parse(text)


@pytest.mark.parametrize("name", ["ttbar-001", "a", "A.b_c-9", "x" * 80])
def test_request_names(name: str) -> None:
    assert check_request_name(name) == name


@pytest.mark.parametrize("name", ["", ".hidden", "../up", "a/b", "with space", "x" * 81, "-dash", "a\n"])
def test_what_cannot_name_a_folder_is_refused(name: str) -> None:
    with pytest.raises(RequestError, match="cannot name a request"):
        check_request_name(name)


def test_eras_and_processing_strings_have_no_dash() -> None:
    assert check_era("FlashSim2018") == "FlashSim2018"
    assert check_processing_string("RefDet_x10") == "RefDet_x10"
    for check in (check_era, check_processing_string):
        with pytest.raises(ValueError, match="cannot be"):
            check("with-dash")


def test_a_primary_name_too_long_for_a_file_name_is_refused() -> None:
    name = DatasetName(primary="P" * 99, era="E" * 200, string="s" * 200, version=1)
    with pytest.raises(RequestError, match="longer than 500 characters"):
        name.lfn(0, uuid.UUID(int=0))
