"""The digest of the reference detector: what changes it, and what does not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import flashsim_prod.physics
from flashsim_prod.physics.chain.registry import models_of
from flashsim_prod.physics.detector import digest
from flashsim_prod.physics.detector.eras import DEFAULT_ERA, ERAS

CODE = '''\
"""What jets do."""
import numpy as np

#: share of jets that are lost
LOST = 0.05

def kept(pt: np.ndarray) -> np.ndarray:
    """Which are."""
    return pt > 15 * (1 + LOST)
'''
TABLE = "# measured on 10 events\nsource jets\npt | 0:1 1:2 |\n"
RUN3 = ERAS["Run3_2022"]


def _digest(code: str = CODE, table: str = TABLE, **others: object) -> str:
    era = others.pop("era", DEFAULT_ERA)
    files = {"detector/jets.py": code, "detector/run3.py": str(others.get("run3", ""))}
    return digest.digest_of(era, files, {"fullsim.txt": table})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"""What jets do."""', '"""What jets are, and do."""'),
        ('    """Which are."""\n', ""),
        ("#: share of jets that are lost\n", ""),
        ("def kept(pt: np.ndarray) -> np.ndarray:", "def kept(\n    pt,\n):"),
        ("pt > 15 * (1 + LOST)", "(pt > 15 * (1 + LOST))  # GeV"),
    ],
)
def test_what_gives_no_numbers_does_not_count(old: str, new: str) -> None:
    assert old in CODE
    assert _digest(CODE.replace(old, new)) == _digest()
    assert _digest(table=TABLE.replace("10", "20")) == _digest()


@pytest.mark.parametrize(("old", "new"), [("0.05", "0.06"), ("pt >", "pt >="), ("LOST)", "-LOST)")])
def test_what_gives_numbers_counts(old: str, new: str) -> None:
    assert _digest(CODE.replace(old, new)) != _digest()


def test_tables_years_and_forms_count(monkeypatch: pytest.MonkeyPatch) -> None:
    before = _digest()
    assert _digest(table=TABLE.replace("1:2", "1:3")) != before
    assert _digest(era=replace(DEFAULT_ERA, fake_taus=1.1)) != before
    assert _digest(era=replace(DEFAULT_ERA, told="the year 2018")) == before
    first, *others = models_of(DEFAULT_ERA.nano)
    monkeypatch.setattr(digest, "models_of", lambda version: (replace(first, form=first.form + 1), *others))
    assert _digest() != before


def test_what_is_of_other_years_alone_counts_for_these() -> None:
    assert _digest(run3="SHARE = 1") == _digest()
    assert _digest(run3="SHARE = 1", era=RUN3) != _digest(era=RUN3)


def test_the_digest_is_of_all_that_is_there() -> None:
    physics = Path(flashsim_prod.physics.__file__).parent
    rooms = (physics / "detector", physics / "definitions")
    code = {str(path.relative_to(physics)): path.read_text() for room in rooms for path in room.rglob("*.py")}
    tables = physics / "detector" / "retuning" / "tables"
    found = {}
    for era in ERAS.values():
        found[era.name] = digest.detector_digest(era)
        read = {name: (tables / name).read_text() for name in era.tables}
        assert found[era.name] == digest.digest_of(era, code, read)
    assert len(set(found.values())) == len(ERAS)
