"""Safetensors files that are whole or not there; the library that writes them has an error of its own."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from flashsim_prod.files import appearing

_SAID = re.compile(r"\(os error (\d+)\)")


@contextmanager
def appearing_tensors(path: Path) -> Iterator[Path]:
    """As `appearing`, for what `save_file` writes: `StorageError`, `NoSpaceError` whatever it raises."""
    with appearing(path) as temporary:
        try:
            yield temporary
        except SafetensorError as error:
            said = _SAID.search(str(error))
            if said is None:
                raise
            raise OSError(int(said[1]), os.strerror(int(said[1])), str(path)) from error
