"""Files that are given twice under whatever names: their events would count twice, and are no other ones."""

from __future__ import annotations

from flashsim_prod.errors import InputError
from flashsim_prod.physics.nanoaod.reader import NanoFile


class Copies:
    """The files that were opened for one purpose, of which none may be another one's copy.

    A file is known by its own UUID and its size, by whatever path, link or server it is reached.
    """

    def __init__(self) -> None:
        self._seen: dict[tuple[str, int], str] = {}

    def refuse(self, url: str, file: NanoFile) -> None:
        """`InputError` if `file`, which is called `url`, was opened before."""
        twin = self._seen.get(identity(file))
        self._seen[identity(file)] = url
        if twin is not None:
            what = f"{url} is given twice" if twin == url else f"{url} and {twin} are copies of one file"
            raise InputError(f"{what}; its events would count twice and are no others, leave one out")


def identity(file: NanoFile) -> tuple[str, int]:
    """What a file and its copies have in common, and no other file."""
    return str(file.identifier), file.n_bytes
