"""The schema is complete, consistent, and that of centrally produced files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from flashsim_prod.errors import EventsError
from flashsim_prod.physics.nanoaod.precision import as_stored
from flashsim_prod.physics.nanoaod.reader import NanoFile
from flashsim_prod.physics.nanoaod.schema import attributes, branch, branches, collections

#: attributes of the collections of NanoAODv9
V9_SIZES = {
    "Jet": 44,
    "Muon": 57,
    "Electron": 58,
    "Photon": 34,
    "FatJet": 58,
    "SubJet": 16,
    "Tau": 30,
    "SV": 16,
    "FsrPhoton": 6,
    "GenPart": 8,
    "GenJet": 6,
    "GenJetAK8": 6,
    "GenVisTau": 7,
}


@pytest.mark.parametrize(("name", "size"), V9_SIZES.items())
def test_collections_have_the_attributes_of_v9(name: str, size: int) -> None:
    assert len(attributes(name)) == size
    assert name in collections()


def test_a_branch_knows_its_collection_type_and_meaning() -> None:
    jet_id = branch("Jet_jetId")
    assert (jet_id.collection, jet_id.attribute, jet_id.dtype) == ("Jet", "jetId", np.int32)
    assert jet_id.legal == (0, 2, 6)
    assert branch("MET_pt").collection is None
    assert branch("MET_pt").attribute == "MET_pt"
    assert branch("GenPart_genPartIdxMother").links == ("GenPart",)
    assert branch("Tau_genPartIdx").links == ("GenPart", "GenVisTau")
    assert branch("Jet_partonFlavour").legal == (-5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 21)
    assert branch("FlashSim_genEvent").dtype == np.uint64
    assert [branch(name).unit for name in ("Jet_pt", "Muon_dxy", "Jet_jetId")] == ["GeV", "cm", ""]


def test_details_suit_the_types() -> None:
    for one in branches().values():
        assert one.title
        assert (one.dtype.kind == "f") or one.precision is None
        assert one.legal is None or one.dtype.kind in "iu"
        assert ("Idx" in one.name) == bool(one.links)
        assert set(one.links) <= collections().keys()


def test_an_unknown_branch_is_named_with_the_nearest_known_one() -> None:
    with pytest.raises(EventsError, match=r"'Jet_ptt' is no branch.*did you mean 'Jet_pt'"):
        branch("Jet_ptt")


def test_central_files_have_these_types_and_keep_no_more_bits(samples: list[Path]) -> None:
    """What central files of version 9 and before hold is not changed by being stored again."""
    for path in (path for path in samples if "v9" in path.name or "v8" in path.name):
        with NanoFile(str(path)) as file:
            names = [name for name in branches() if name in file.branches]
            events = file.read(names, 0, file.n_entries)
        assert len(names) > 400
        columns = dict(events.scalars)
        columns |= {
            f"{name}_{key}": c for name, one in events.collections.items() for key, c in one.columns.items()
        }
        for name, column in columns.items():
            assert column.dtype == branch(name).dtype, name
            np.testing.assert_array_equal(as_stored(branch(name), column), column, err_msg=name)
            assert branch(name).legal is None or set(column.tolist()) <= set(branch(name).legal or ()), name
