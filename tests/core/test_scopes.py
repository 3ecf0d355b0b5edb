"""CMS's rules of scopes, containers and storage elements."""

from __future__ import annotations

import pytest

from flashsim_prod.core.names import (
    DatasetName,
    check_container,
    check_rse,
    check_scope,
    is_temporary,
    lasting_rse,
    owner_of,
)
from flashsim_prod.errors import RequestError

USERS = "/TTbar/jdoe-tag-" + "0" * 32 + "/USER"
CMS = "/TTbar/FlashSim2018-x-v1/NANOAODSIM"


def test_scopes_and_their_owners() -> None:
    assert [owner_of(scope) for scope in ("cms", "user.jdoe", "group.higgs-hh")] == [None, "jdoe", "higgs-hh"]
    for wrong in ("", "atlas", "user.", "user.JDoe", "cms.x", "group.1a", "user.jdoe\n"):
        with pytest.raises(RequestError, match="no scope of CMS"):
            check_scope(wrong)


def test_containers_of_users_are_of_tier_user() -> None:
    assert check_container("cms", CMS) == CMS
    assert check_container("user.jdoe", USERS) == USERS
    for scope, container in (("cms", USERS), ("user.jdoe", CMS), ("group.x", CMS)):
        with pytest.raises(RequestError, match="tier"):
            check_container(scope, container)


def test_storage_elements() -> None:
    for rse in ("T2_IT_Pisa", "T1_US_FNAL_Disk", "T2_IT_Pisa_Temp"):
        assert check_rse(rse) == rse
    for wrong in ("LOCAL", "T4_IT_Pisa", "T2_it_Pisa", "T2_IT", "T2_IT_Pisa "):
        with pytest.raises(RequestError, match="no storage element of CMS"):
            check_rse(wrong)
    assert (lasting_rse("T2_IT_Pisa_Temp"), lasting_rse("T2_IT_Pisa")) == ("T2_IT_Pisa", "T2_IT_Pisa")
    assert (is_temporary("T2_IT_Pisa_Temp"), is_temporary("T2_IT_Pisa")) == (True, False)


def test_names_of_users_datasets_tell_their_version() -> None:
    name = DatasetName(primary="TTbar", era="jdoe", string="FlashSim2018_x10", version=37, tier="USER")
    assert str(name).endswith("00000025/USER")
    assert DatasetName.parse(str(name)) == name
    assert DatasetName.parse(str(name)).version == 37
    assert str(name.model_copy(update={"version": 38})) != str(name)
    with pytest.raises(RequestError, match="no dataset name of this program"):
        DatasetName.parse(USERS)
