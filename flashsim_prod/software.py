"""Which code draws the events of a request, in twelve digits, and whether it is the code that is here.

They are of the bytes of all modules and tables that decide what a job's events are, so that nobody has to
raise a version before other numbers are drawn. The same in a checkout, in an installed wheel, in the archive
that travels with jobs and read out of a zip. Comments count as well, since each job asks, and to read past
them takes seconds: better told apart once too often than never. Libraries do not count.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING

from flashsim_prod import __version__
from flashsim_prod.errors import StateError

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

    from flashsim_prod.core.request import Request

#: what counts: all of `physics`, so that a new room does, and what cuts, numbers and seeds what it draws
_DRAWS = (
    *("physics", "core/analyses", "core/sources", "core/campaigns/extension.py"),
    *("core/card.py", "core/options.py", "core/request.py", "core/splitting.py"),
    *("production/job/batches.py", "production/job/producing.py", "production/job/simulate.py"),
)
#: but for what makes models, or looks at what was drawn; nothing that counts imports any of it
_DRAWS_NOTHING = frozenset(
    {
        *("physics/detector", "physics/training", "physics/validation"),
        *("physics/analysis/closure.py", "physics/analysis/pictures.py"),
        *("physics/analysis/sample.py", "physics/analysis/training.py"),
        *("physics/chain/archive.py", "physics/chain/model_card.py"),
        *("physics/oversampling.py", "physics/oversampled_entries.py"),
    }
)
#: modules and tables: whatever else lies there, as editors and Python leave it, is no part of the code
_SUFFIXES = (".py", ".txt")
_DIGITS = 12


@cache
def code_digest() -> str:
    """The code here that draws.

    Raises
    ------
    StorageError
        If it cannot be read.
    """
    # every command loads this module, and few ask
    from flashsim_prod.files import storage_errors

    with storage_errors("reading the code of flashsim-prod"):
        return digest_of(_package())


def _package() -> Traversable:
    from importlib.resources import files

    return files("flashsim_prod")


def digest_of(package: Traversable) -> str:
    """The same of a package of this name elsewhere; `OSError` if it cannot be read."""
    digest = hashlib.sha256()
    for name, content in sorted(drawing_files(package)):
        # lengths, so that no two packages are one text
        digest.update(f"{name}\n{len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()[:_DIGITS]


def drawing_files(package: Traversable) -> Iterator[tuple[str, bytes]]:
    """What the digest is of: names below the package, the same on all systems, and bytes."""
    for name in _DRAWS:
        one = package.joinpath(name)
        for path, file in files_below(one, name) if one.is_dir() else [(name, one)]:
            left_out = any(f"{path}/".startswith(f"{other}/") for other in _DRAWS_NOTHING)
            if path.endswith(_SUFFIXES) and not left_out:
                yield path, file.read_bytes()


def files_below(folder: Traversable, name: str) -> Iterator[tuple[str, Traversable]]:
    """The files of a package's folder `name`, however deep, but for what is hidden or Python's cache."""
    for one in folder.iterdir():
        path = f"{name}/{one.name}"
        if one.name.startswith(".") or one.name == "__pycache__":
            continue
        if one.is_dir():
            yield from files_below(one, path)
        else:
            yield path, one


def software_here() -> str:
    """What is here, in words; `StorageError` if it cannot be read."""
    return software_told(__version__, code_digest())


def software_told(version: str, code: str | None) -> str:
    """A version with its code, in words; ``None`` where that was not written down."""
    return f"flashsim-prod {version}" + ("" if code is None else f" (code {code})")


def is_same_software(request: Request) -> bool:
    """Whether what is here draws what `request` was placed with drew, as far as that was written down."""
    return request.software_version == __version__ and _is_same_code(request)


def check_same_software(request: Request) -> None:
    """See that what is here draws what the request was placed with would.

    Raises
    ------
    StateError
        If it is another version, or other code.
    """
    if request.software_version != __version__:
        raise StateError(
            f"request {request.name} was placed with flashsim-prod {request.software_version}, this is "
            f"{__version__}, which may draw other numbers; install that version, or order a new request"
        )
    check_same_code(request)


def check_same_code(request: Request) -> None:
    """The same of the code alone, which is all that matters to a job.

    Raises
    ------
    StateError
        If it is other code. Of a request from before it was written down, nothing is known.
    """
    if not _is_same_code(request):
        raise StateError(
            f"request {request.name} was placed with code {request.code} of flashsim-prod "
            f"{request.software_version}, {_package()} has code {code_digest()}, which may draw "
            "other numbers; check out or install there the commit that it was placed with, or order a new "
            "request"
        )


def _is_same_code(request: Request) -> bool:
    return request.code is None or request.code == code_digest()
