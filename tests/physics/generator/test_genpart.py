"""GenPart of generated top pairs: whole, consistent, and in agreement with the other collections."""

from __future__ import annotations

import numpy as np

from flashsim_prod.physics.generator.source import (
    GEN_COLLECTIONS,
    GEN_SCALARS,
    OPTIONAL_COLLECTIONS,
    OPTIONAL_SCALARS,
)
from flashsim_prod.physics.nanoaod.schema import Schema

V9 = Schema.load("v9")


def _has(part, bit):
    return (part["statusFlags"] >> bit & 1).astype(bool)


def test_branches_and_types_are_those_of_the_schema(ttbar):
    found = {name: column.dtype for name, column in ttbar.scalars.items()}
    for name, collection in ttbar.collections.items():
        found |= {f"{name}_{key}": column.dtype for key, column in collection.columns.items()}
    promised = [*GEN_SCALARS, *OPTIONAL_SCALARS]
    for name, attributes in (GEN_COLLECTIONS | OPTIONAL_COLLECTIONS).items():
        promised += [f"{name}_{attribute}" for attribute in attributes]
    assert set(found) == set(promised)
    assert found == {name: V9.branches[name].dtype for name in found}


def test_discrete_columns_hold_only_legal_values(ttbar):
    checked = 0
    for name, collection in ttbar.collections.items():
        for key, column in collection.columns.items():
            legal = V9.branches[f"{name}_{key}"].legal
            if legal is not None and len(column):
                assert np.isin(column, legal).all(), f"{name}_{key}"
                checked += 1
    assert checked >= 5


def test_mothers_are_in_the_same_event_and_no_particle_is_its_own_ancestor(ttbar):
    part = ttbar["GenPart"]
    mother = part["genPartIdxMother"]
    assert (mother >= -1).all()
    assert (mother < part.counts[part.event_index]).all()
    position = np.where(mother >= 0, part.starts[part.event_index] + mother, -1)
    here = np.arange(part.n_objects)
    for _ in range(int(part.counts.max()) + 1):
        here = np.where(here >= 0, position[here], -1)
    assert (here == -1).all()


def test_every_event_has_two_tops_each_with_a_w_and_a_down_type_quark(ttbar):
    part = ttbar["GenPart"]
    code = np.abs(part["pdgId"])
    for bit in (12, 13):  # first copy, last copy
        tops = part.event_index[(code == 6) & _has(part, bit)]
        assert (np.bincount(tops, minlength=ttbar.n) == 2).all()
    mother = part["genPartIdxMother"]
    up = np.where(mother >= 0, part.starts[part.event_index] + mother, 0)
    from_top = (mother >= 0) & (code[up] == 6) & _has(part, 7)
    assert (np.bincount(part.event_index[from_top & (code == 24)], minlength=ttbar.n) == 2).all()
    quark = from_top & np.isin(code, (1, 3, 5))
    assert (np.bincount(part.event_index[quark], minlength=ttbar.n) == 2).all()
    assert (code[quark] == 5).mean() > 0.98


def test_missing_momentum_is_that_of_the_neutrinos_in_genpart(ttbar):
    part = ttbar["GenPart"]
    neutrino = np.isin(np.abs(part["pdgId"]), (12, 14, 16)) & (part["status"] == 1)
    pt, phi = part["pt"][neutrino].astype(float), part["phi"][neutrino].astype(float)
    event = part.event_index[neutrino]
    px = np.bincount(event, weights=pt * np.cos(phi), minlength=ttbar.n)
    py = np.bincount(event, weights=pt * np.sin(phi), minlength=ttbar.n)
    np.testing.assert_allclose(np.hypot(px, py), ttbar.scalars["GenMET_pt"], rtol=1e-4, atol=1e-3)


def test_stable_leptons_and_heavy_hadrons_are_there_with_their_flags(ttbar):
    part = ttbar["GenPart"]
    code = np.abs(part["pdgId"])
    b_meson = (code >= 511) & (code <= 531)
    assert b_meson.sum() > ttbar.n
    assert _has(part, 1)[b_meson & _has(part, 13)].all()
    muon = (code == 13) & (part["status"] == 1)
    assert 0.1 < _has(part, 0)[muon].mean() < 0.9
    assert (part["mass"][np.isin(code, (5, 11, 13, 16, 21, 211))] == 0).all()
    assert (part["mass"][code == 6] > 100).all()
