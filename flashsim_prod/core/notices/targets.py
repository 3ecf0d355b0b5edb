"""Where notices go: addresses of HTTP servers and of people, which are checked before anything is written.

An address of a server often is a secret: whoever has it can write there. So it is shown only up to its host.
"""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import SplitResult, unquote, urlsplit

from pydantic import BeforeValidator, Field, field_validator

from flashsim_prod.core.strict import StrictModel

#: typed instead of an address: nobody is told, whatever the site or the state folder says
NOBODY = "none"
MAIL = "mailto:"
#: time without any change after which a request idles [min]
IDLE_MIN = 60.0
_SCHEMES = ("http", "https")
_MAILBOX = re.compile(
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~][A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]*@[A-Za-z0-9][A-Za-z0-9.-]*"
)


def check_target(target: object) -> str:
    """`target`, if notices can go there; `ValueError`, which does not repeat a secret, otherwise."""
    if not isinstance(target, str):
        raise ValueError("an address is text: https://... or mailto:NAME@HOST")
    if not target.isascii() or not target.isprintable() or " " in target:
        raise ValueError(f"{shown(target)}: an address has neither blanks nor letters beyond ASCII")
    if target.startswith(MAIL):
        mailboxes(target)
        return target
    split = _split(target)
    if split.scheme not in _SCHEMES:
        known = "https://HOST/..., http://HOST/... or mailto:NAME@HOST"
        raise ValueError(f"{shown(target)}: not an address that can be told; those are {known}")
    if not split.hostname:
        raise ValueError(f"{split.scheme}: address without a host")
    if split.fragment:
        raise ValueError(f"{shown(target)}: what follows '#' never reaches a server; leave it out")
    return target


def mailboxes(target: str) -> tuple[str, ...]:
    """Mail addresses of a ``mailto:``; `ValueError` if one is none."""
    rest, _, query = target.removeprefix(MAIL).partition("?")
    if query:
        raise ValueError("mailto: addresses only, separated by commas; leave out what follows '?'")
    found = tuple(unquote(one) for one in rest.split(","))
    for one in found:
        if not _MAILBOX.fullmatch(one):
            raise ValueError(f"mailto: '{one}' is no mail address, as name@host is")
    return found


def shown(target: str) -> str:
    """What can be shown of an address: of a server no more than its host."""
    if target.startswith(MAIL):
        return target
    try:
        split = _split(target)
    except ValueError:
        return "an address"
    if not split.scheme or not split.hostname:
        return target if re.fullmatch(r"[\w.-]{0,20}", target) else "an address"
    host = split.hostname if split.port is None else f"{split.hostname}:{split.port}"
    has_more = split.path.strip("/") or split.query or split.username or split.password
    return f"{split.scheme}://{host}/{'...' if has_more else ''}"


def _split(target: str) -> SplitResult:
    try:
        split = urlsplit(target)
        # read now, since a port that is none is found out only then
        _ = split.port
    except ValueError as error:
        raise ValueError(f"an address of a server that cannot be read ({error})") from error
    return split


Target = Annotated[str, BeforeValidator(check_target, json_schema_input_type=str)]


class Notify(StrictModel):
    """Who is told when a request ends, fails, or idles too long."""

    to: tuple[Target, ...] = Field(default=(), description="https://..., http://... or mailto:NAME@HOST")
    idle_min: float = Field(
        default=IDLE_MIN, gt=0, le=1e6, description="time without any change that is told as idling [min]"
    )

    @field_validator("to", mode="before", json_schema_input_type=str | list[str])
    @classmethod
    def _one_is_a_list_of_one(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @field_validator("to")
    @classmethod
    def _each_once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(value))


def _section(value: object) -> object:
    """One address, or a list of them, is all that most say."""
    if value == NOBODY:
        return {}
    return {"to": value} if isinstance(value, str | list | tuple) else value


#: as a key of a file: addresses alone, or a section
NotifyField = Annotated[
    Notify | None,
    BeforeValidator(_section, json_schema_input_type=Notify | str | list[str] | None),
]


def typed_notify(typed: tuple[str, ...] | list[str] | None) -> Notify | None:
    """What ``--notify``, once or several times, says; ``None`` if it was not given.

    Raises
    ------
    ConfigError
        If an address is none, or ``none`` is typed beside others.
    """
    if not typed:
        return None
    if list(typed) == [NOBODY]:
        return Notify()
    return Notify.from_mapping({"to": list(typed)}, "options", {"to": "--notify"})
