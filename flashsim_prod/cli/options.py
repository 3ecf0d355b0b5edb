"""Options that say how the flows are integrated; every command that draws from them has the same ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from flashsim_prod.core.request import Sampling

Solver = Annotated[
    Literal["euler", "midpoint", "ab2"],
    typer.Option(help="How the flows are integrated; ab2 is Adams and Bashforth's of second order."),
]
Evaluations = Annotated[
    int, typer.Option(metavar="N", min=1, max=1000, help="Network evaluations per object.")
]
GridPower = Annotated[
    float,
    typer.Option(
        metavar="P", min=1, max=10, help="The solver's times are 1 - (1 - s)^P: above 1 dense near t = 1."
    ),
]


def sampling_of(solver: str, evaluations: int, grid_power: float) -> Sampling:
    """What the options say; `ConfigError` where they do not go together."""
    from flashsim_prod.core.request import Sampling

    typed = {"solver": solver, "evaluations": evaluations, "grid_power": grid_power}
    return Sampling.from_mapping(typed, "options")
