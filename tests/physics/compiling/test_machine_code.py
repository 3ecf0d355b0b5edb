"""Compiled code without its compiler: the same numbers, kept, and only what runs alone."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from flashsim_prod.physics.compiling import machine_code
from flashsim_prod.physics.compiling.machine_code import natives

KERNELS = "flashsim_prod.physics.chain.kinds.kernels"


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the code of `KERNELS`."""
    folder = tmp_path_factory.mktemp("code")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NUMBA_CACHE_DIR", str(folder))
        assert natives(KERNELS) is not None
    return folder


@pytest.fixture
def kept(compiled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, which is where code is looked for."""
    folder = tmp_path / "kept"
    shutil.copytree(compiled, folder)
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(folder))
    monkeypatch.setattr(machine_code, "private_folder", lambda: None)
    return folder


def _none_compiles(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise OSError("nothing is to be compiled")

    monkeypatch.setattr(subprocess, "run", refused)


def test_it_gives_the_bits_of_numbas_own_functions(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from flashsim_prod.physics.chain.kinds import kernels

    _none_compiles(monkeypatch)
    found = natives(KERNELS)
    assert found is not None
    rng = np.random.default_rng(1)
    for n, seen, wide, parts in ((50, 7, 32, 3), (1, 40, 16, 1)):
        sizes = (seen + 1 + wide + 1 + parts * (wide + 1)) * wide
        conditions, weights = (rng.normal(size=size).astype(np.float32) for size in (n * seen, sizes))
        given = []
        for function in (found["condition"], kernels.natives()["condition"].ctypes):
            rows = -(-n // kernels.ROWS) * kernels.ROWS
            room, out = np.zeros(kernels.ROWS * 2 * 64, np.float32), np.zeros(rows * parts * wide, np.float32)
            function(n, seen, wide, parts, *(one.ctypes.data for one in (conditions, weights, room, out)))
            assert np.any(out)
            given.append(out.tobytes())
        assert given[0] == given[1]


def test_damaged_code_is_not_run(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _none_compiles(monkeypatch)
    for path in kept.glob("*.code"):
        raw = bytearray(path.read_bytes())
        raw[-100] ^= 1
        path.write_bytes(raw)
    assert natives(KERNELS) is None


def test_without_a_compiler_there_is_none(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numba", None)
    assert natives(KERNELS) is None


def test_code_of_another_processor_is_compiled_anew(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _none_compiles(monkeypatch)
    key = machine_code._key
    monkeypatch.setattr(machine_code, "_key", lambda source: key(source)[::-1])
    assert natives(KERNELS) is None


@pytest.mark.parametrize(
    ("text", "trouble"),
    [
        (
            "declare double @sin(double)\n"
            "define double @f(double %x) { %y = call double @sin(double %x)\n ret double %y }",
            "sin is elsewhere",
        ),
        (
            "@g = external global double\ndefine double @f() { %y = load double, ptr @g\n ret double %y }",
            "g is elsewhere",
        ),
        ("define double @other(double %x) { ret double %x }", "no function f"),
    ],
)
def test_only_what_stands_alone_is_taken(text: str, trouble: str) -> None:
    with pytest.raises(ValueError, match=trouble):
        machine_code._object([(text, "f")])


def test_what_a_function_does_not_need_is_left_out() -> None:
    beside = (
        "declare void @elsewhere()\ndefine void @wrapper() { call void @elsewhere()\n ret void }\n"
        "define double @f(double %x) { %y = fadd double %x, 0x3FF3C0CA428C59FB\n ret double %y }"
    )
    found = machine_code._object([(beside, "f")])
    # the constant came along
    assert np.float64(1.2345678901234567).tobytes() in found
    assert b"elsewhere" not in found
