"""How a field of a model is typed as an option of a command, said where the field is declared."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class AsOption:
    """Beside a field's type, in ``Annotated``; its description is the option's help, its bound the option's.

    Attributes
    ----------
    name : str or None
        ``--name`` of the option; that of the field by default.
    metavar : str or None
        What stands for its value in the help.
    is_common : bool
        Whether a command that takes a file of these fields has it as an option as well.
    typed : type, optional
        What is typed, where that is not yet what the field holds: words that the field's validator reads.
    """

    name: str | None = None
    metavar: str | None = None
    is_common: bool = False
    typed: type | None = None

    def of(self, field: str) -> str:
        """Name of the option that stands for `field`."""
        return self.name or f"--{field.replace('_', '-')}"
