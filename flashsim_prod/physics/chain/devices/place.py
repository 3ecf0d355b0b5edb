"""Which device networks run on, and how."""

from __future__ import annotations

from dataclasses import dataclass

#: Rows that networks see at a time, rising, by kind of device; the last block is padded. Matrix products of
#: one shape round alike whatever else is in the batch, so the size of a batch does not show in what is
#: drawn; where there are several sizes, those serve that were seen to round alike (`alike`).
SIZES = {"cpu": (64, 256), "cuda": (512, 2048, 8192, 32_768)}


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
    def sizes(self) -> tuple[int, ...]:
        """Sizes of blocks, rising."""
        return SIZES.get(self.kind, SIZES["cuda"]) if self.batch_rows is None else (self.batch_rows,)


#: where networks are unless something else is said
CPU = Place()


def block_rows(device: str) -> int:
    """Rows that networks see at a time on `device`, at most."""
    return Place(device).sizes[-1]


def cut(rows: int, sizes: tuple[int, ...]) -> list[int]:
    """Blocks of some of `sizes` that hold `rows`, one after another.

    What is padded is less than the rows of the last block, or than the smallest size.
    """
    found: list[int] = []
    while rows > 0:
        least = next((size for size in sizes if size >= rows), sizes[-1])
        below = max((size for size in sizes if size <= rows), default=least)
        # one launch more costs less than a block that is mostly empty
        found.append(least if 2 * rows >= least else below)
        rows -= found[-1]
    return found
