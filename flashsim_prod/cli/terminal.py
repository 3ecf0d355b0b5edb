"""A console on which no word of a table is broken."""

from __future__ import annotations

from itertools import chain
from typing import Any

from rich.console import Console, RenderableType
from rich.measure import Measurement
from rich.segment import Segment, Segments
from rich.table import Column, Table

#: wider than any table
_WIDE = 100_000


class Terminal(Console):
    """A console that prints a table as wide as its longest words, if need be, rather than break them.

    Names, paths and numbers are there to be copied and searched for; a terminal wraps what is too wide.
    """

    def print(self, *objects: Any, **options: Any) -> None:
        """Print as any console; a table at the width that it needs."""
        if len(objects) == 1 and isinstance(objects[0], Table):
            super().print(self._whole(objects[0]), end="", crop=False, soft_wrap=True)
        else:
            super().print(*objects, **options)

    def _whole(self, table: Table) -> Segments:
        """The lines of `table`; blanks at their ends would fill a line of their own on a narrow terminal."""
        for column in table.columns:
            self._keep_words(column)
        least = Measurement.get(self, self.options.update(width=_WIDE), table).minimum
        options = self.options.update(width=max(self.width, least))
        return Segments(chain.from_iterable(map(_stripped, self.render_lines(table, options, pad=False))))

    def _keep_words(self, column: Column) -> None:
        """Let `column` be no narrower than its longest word; one of single words keeps its width."""
        if column.width is not None:
            return
        sizes = [self._measured(cell) for cell in (column.header, *column.cells)]
        least, most = max(one.minimum for one in sizes), max(one.maximum for one in sizes)
        column.no_wrap = column.no_wrap or least == most
        column.min_width = max(most if column.no_wrap else least, column.min_width or 0)

    def _measured(self, cell: RenderableType) -> Measurement:
        text = self.render_str(cell) if isinstance(cell, str) else cell
        return Measurement.get(self, self.options.update(width=_WIDE), text)


def _stripped(line: list[Segment]) -> list[Segment]:
    """`line` without blanks at its end, and with one."""
    while line and not line[-1].text.strip():
        line = line[:-1]
    last = [Segment(line[-1].text.rstrip(), line[-1].style)] if line else []
    return [*line[:-1], *last, Segment.line()]
