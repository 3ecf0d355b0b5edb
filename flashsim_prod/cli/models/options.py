"""Options that several commands of models have: each is described once, in the same words everywhere."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from flashsim_prod.cli import completing


def _base(text: str) -> Any:
    return typer.Option("--base", metavar="BUNDLE", help=text, autocompletion=completing.bundles)


_BEGINNING = "Bundle whose models are the beginning, as: reference"
_OTHERS = "Bundle that models come from which are not {}, as: reference"

OneModel = Annotated[str, typer.Argument(help="Object model.", autocompletion=completing.models)]
Models = Annotated[list[str], typer.Argument(help="Object models.", autocompletion=completing.models)]

#: to calibrate, where there has to be one
Base = Annotated[str, _base(f"{_BEGINNING}.")]
#: to fit
BaseToTune = Annotated[
    str | None, _base(f"{_BEGINNING}; they are calibrated, and trained on where objects suffice.")
]
#: to refine and to reweight
BaseToCorrect = Annotated[
    str | None,
    _base(
        f"{_BEGINNING}, with all of the tables, which are of files that it has not seen; by default the fit "
        "in the folder, with what that held out."
    ),
]
#: to put a bundle together of fits
BaseOfOthers = Annotated[str | None, _base(f"{_OTHERS.format('fitted')}.")]
#: and of a bundle that is imported
BaseOfLacking = Annotated[str | None, _base(f"{_OTHERS.format('in it')}.")]
