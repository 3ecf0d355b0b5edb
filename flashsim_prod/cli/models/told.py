"""Lines that several commands for models say."""

from __future__ import annotations

from flashsim_prod.cli.show import counted


def lost_rows(model: str, objects: int, sources: int, why: str) -> str:
    """What a model does not learn from, in a line."""
    return f"{model}: {counted(objects, 'object')} and {counted(sources, 'source')} left out, {why}"
