"""The shipped bundle, once for all tests of the chain, and chains of models that learned nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flashsim_prod.physics.chain.bundle import Bundle, find_bundle, load_bundle
from flashsim_prod.physics.chain.chain import Chain


@pytest.fixture(scope="session")
def bundle() -> Bundle:
    return load_bundle(find_bundle("reference"))


@pytest.fixture(scope="session")
def chain(bundle: Bundle) -> Chain:
    return Chain(bundle)


@pytest.fixture(scope="session")
def untrained_chain() -> Callable[..., Chain]:
    """Makes the smallest chain of some models: it draws as they are distributed, whatever the conditions."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parents[2]))
        from untrained import untrained_bundle

    def make(*arguments: Any) -> Chain:
        return Chain(load_bundle(untrained_bundle(*arguments)))

    return make
