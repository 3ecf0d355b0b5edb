"""When a job's process looks for garbage."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from flashsim_prod.production.job.producing import loaded, loading


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    yield
    gc.unfreeze()
    gc.enable()


def test_garbage_is_looked_for_neither_while_loading_nor_in_what_was_loaded() -> None:
    gc.unfreeze()
    with loading():
        assert not gc.isenabled()
        kept: list[object] = [[] for _ in range(100)]
    assert gc.isenabled()
    assert gc.get_freeze_count() > len(kept)
    with loaded():
        assert gc.get_freeze_count() > len(kept)
    assert not gc.get_freeze_count()


def test_where_loading_fails_all_is_as_it_was() -> None:
    gc.unfreeze()
    with pytest.raises(OSError, match="no weights"), loading():
        raise OSError("no weights")
    assert gc.isenabled()
    assert not gc.get_freeze_count()


def test_who_does_without_the_collector_goes_on_without_it() -> None:
    gc.disable()
    with loading():
        pass
    assert not gc.isenabled()
