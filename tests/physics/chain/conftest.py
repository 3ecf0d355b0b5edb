"""The shipped bundle, once for all tests of the chain."""

from __future__ import annotations

import pytest

from flashsim_prod.physics.chain.bundle import Bundle, find_bundle, load_bundle
from flashsim_prod.physics.chain.chain import Chain


@pytest.fixture(scope="session")
def bundle() -> Bundle:
    return load_bundle(find_bundle("reference"))


@pytest.fixture(scope="session")
def chain(bundle: Bundle) -> Chain:
    return Chain(bundle)
