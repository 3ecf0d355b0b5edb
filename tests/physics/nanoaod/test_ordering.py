"""Electrons and photons stand in the order of pt where their calibration is not kept, and links with them."""

from __future__ import annotations

import numpy as np

from flashsim_prod.physics.events import Collection, Events
from flashsim_prod.physics.nanoaod.schema import Schema
from flashsim_prod.physics.nanoaod.versions.ordering import in_order


def _events() -> Events:
    electrons = Collection(
        np.array([2, 0, 3]),
        {
            "pt": np.array([20.0, 30.0, 9.0, 7.0, 8.0], np.float32),
            "photonIdx": np.array([0, -1, -1, -1, 0], np.int32),
        },
    )
    photons = Collection(
        np.array([1, 1, 1]),
        {"pt": np.full(3, 25.0, np.float32), "electronIdx": np.array([0, -1, 2], np.int32)},
    )
    return Events(3, {}, {"Electron": electrons, "Photon": photons})


def test_what_v15_does_not_keep_orders_nothing_there() -> None:
    made = in_order(_events(), Schema.load("v15"))
    assert made["Electron"]["pt"].tolist() == [30, 20, 9, 8, 7]
    assert made["Electron"]["photonIdx"].tolist() == [-1, 0, -1, 0, -1]
    # the same electrons as before
    assert made["Photon"]["electronIdx"].tolist() == [1, -1, 1]
    assert made["Photon"]["electronIdx"].dtype == np.int32


def test_v9_keeps_its_order() -> None:
    events = _events()
    assert in_order(events, Schema.load("v9")) is events
