"""Files that are given twice under whatever names: their events would count twice, and are no other ones."""

from __future__ import annotations

from flashsim_prod.errors import InputError
from flashsim_prod.physics.nanoaod.reader import NanoFile


class Copies:
    """The files that were opened for one purpose, of which none may be another one's copy.

    A file is known by its own UUID and its size, by whatever path, link or server it is reached.
    """

    def __init__(self) -> None:
        self._seen: dict[tuple[object, int], tuple[str, str]] = {}

    def refuse(self, url: str, file: NanoFile, role: str = "") -> None:
        """`InputError` if `file`, which is called `url`, was opened before.

        Parameters
        ----------
        role : str
            What it stands for, where what stands for one thing must not stand for another: ``reference``.
        """
        key = (file.identifier, file.n_bytes)
        if key not in self._seen:
            self._seen[key] = (url, role)
            return
        twin, other = self._seen[key]
        what = f"{url} is given twice" if twin == url else f"{url} and {twin} are copies of one file"
        if role != other:
            raise InputError(
                f"{what}, as {other} and as {role}; between the same events there is nothing to compare, "
                f"give another {role}"
            )
        raise InputError(f"{what}; its events would count twice and are no others, leave one out")
