"""What servers say, cut to a line of bearable length without its point."""

from __future__ import annotations

import re

#: a name that tells more than all the rest, wherever it stands; brackets or quotation marks around it
_POINT = re.compile(r"""constraint\s+[(\["'`]?[\w.$#]+[)\]"'`]?""", re.IGNORECASE)


def shortened(line: str, most: int) -> str:
    """The beginning of `line`, and the constraints that what is left out speaks of.

    Parameters
    ----------
    line : str
    most : int
        Characters of the beginning to keep, at most.
    """
    if len(line) <= most:
        return line
    # a name that the cut goes through counts as left out
    points = dict.fromkeys(found[0] for found in _POINT.finditer(line) if found.end() > most)
    return f"{line[:most]}..." + "".join(f" {point} ..." for point in points)
