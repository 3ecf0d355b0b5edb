"""Long messages of servers keep what matters."""

from __future__ import annotations

import pytest

from flashsim_prod.grid.catalog.wording import shortened


def test_short_messages_stay() -> None:
    assert shortened("violates unique constraint X", 200) == "violates unique constraint X"


@pytest.mark.parametrize("name", ['"DIDS_PK"', "(CMS.TUC_A$1)", "DIDS_PK", "[dids_pk]"])
@pytest.mark.parametrize("at", [0, 150, 190, 195, 400])
def test_the_name_of_a_constraint_is_never_cut(name: str, at: int) -> None:
    line = f"{'x' * at} violates unique constraint {name} {'y' * 300}"
    assert name in shortened(line, 200)
    assert len(shortened(line, 200)) < 260
