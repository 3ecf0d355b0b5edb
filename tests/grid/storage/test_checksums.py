"""Checksums are those of the standard tools, whatever the contents."""

from __future__ import annotations

import hashlib
import zlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flashsim_prod.errors import StorageError
from flashsim_prod.grid.storage import checksums
from flashsim_prod.grid.storage.checksums import Checksums, file_checksums


@given(content=st.binary(max_size=300))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_checksums_are_those_of_the_whole_file(
    content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checksums, "CHUNK_BYTES", 64)  # so that small files have several chunks
    path = tmp_path / "file"
    path.write_bytes(content)

    found = file_checksums(path)

    assert found.bytes == len(content)
    assert int(found.adler32, 16) == zlib.adler32(content)
    assert found.sha256 == hashlib.sha256(content).hexdigest()


def test_adler32_keeps_its_leading_zeros(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"a")
    assert file_checksums(path) == Checksums(
        1, "00620062", "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"
    )


def test_missing_file_is_a_storage_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"gone\.root"):
        file_checksums(tmp_path / "gone.root")
