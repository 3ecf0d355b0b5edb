"""Signing in to Rucio: once for a block, and anew after some time; no server is asked."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from flashsim_prod.grid.catalog import rucio_calls
from flashsim_prod.grid.catalog.rucio_calls import RucioCalls, one_sign_in


@pytest.fixture
def signed_in(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """How many times somebody signed in."""
    made: list[Any] = []

    def make(**_: Any) -> Any:
        session = SimpleNamespace(close=lambda: None)
        made.append(SimpleNamespace(host="http://h", session=session, whoami=lambda: {"account": len(made)}))
        return made[-1]

    monkeypatch.setattr(rucio_calls, "_load", lambda: (make, (OSError,)))
    return lambda: len(made)


def test_a_block_signs_in_once_and_what_comes_after_it_anew(signed_in: Callable[[], int]) -> None:
    with one_sign_in():
        assert signed_in() == 0, "only when something is asked"
        with RucioCalls(patience_s=1):
            pass
        with one_sign_in():
            assert RucioCalls().who == {"account": 1}
    assert signed_in() == 1
    RucioCalls()
    RucioCalls()
    assert signed_in() == 3


def test_credentials_may_be_renewed_meanwhile(
    signed_in: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    with one_sign_in():
        RucioCalls()
        monkeypatch.setattr(rucio_calls, "_SHARED_S", -1.0)
        RucioCalls()
    assert signed_in() == 2
