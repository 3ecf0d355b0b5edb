"""Which device networks run on, and how."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

#: Rows that networks see at a time, rising, by kind of device; the last block is padded. Matrix products of
#: one shape round alike whatever else is in the batch, so the size of a batch does not show in what is
#: drawn; where there are several sizes, those serve that were seen to round alike (`alike`).
SIZES = {"cpu": (64, 256), "cuda": (512, 2048, 8192, 32_768)}
#: and at most, where blocks of any size round alike, and none is padded
MOST_ROWS = 1024


@dataclass(frozen=True)
class Place:
    """A device, and how networks are run there.

    Attributes
    ----------
    device : str
        As torch names it.
    batch_rows : int or None
        The one size of blocks; by default several that suit the device.
    graphs : bool
        Whether what a block takes is captured once and replayed as a whole, where the device can.
    half : bool
        Whether matrix products are of half precision; nowhere but on a GPU.
    """

    device: str = "cpu"
    batch_rows: int | None = None
    graphs: bool = False
    half: bool = False

    @property
    def kind(self) -> str:
        """The device without its number."""
        return self.device.split(":")[0]

    @property
    def is_cpu(self) -> bool:
        """Whether rows are where networks run, without being sent."""
        return self.kind == "cpu"

    @property
    def any_sizes(self) -> range:
        """The same for what gives a row the same bits in blocks of any size."""
        return range(1, (self.batch_rows or MOST_ROWS) + 1)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Sizes of blocks, rising."""
        return SIZES.get(self.kind, SIZES["cuda"]) if self.batch_rows is None else (self.batch_rows,)


#: where networks are unless something else is said
CPU = Place()


def block_rows(device: str) -> int:
    """Rows that networks see at a time on `device`, at most."""
    place = Place(device)
    return place.any_sizes[-1] if place.is_cpu else place.sizes[-1]


def cut(rows: int, sizes: Sequence[int]) -> list[int]:
    """Blocks of some of `sizes`, which rise, that hold `rows`, one after another.

    What is padded is less than the rows of the last block, or than the smallest size.
    """
    found: list[int] = []
    while rows > 0:
        least = sizes[min(bisect_left(sizes, rows), len(sizes) - 1)]
        below = sizes[max(bisect_right(sizes, rows) - 1, 0)]
        # one launch more costs less than a block that is mostly empty
        found.append(least if 2 * rows >= least else below)
        rows -= found[-1]
    return found
