"""Addresses that notices go to, and what of them is shown."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from flashsim_prod.core.notices.targets import NOBODY, Notify, check_target, mailboxes, shown, typed_notify
from flashsim_prod.core.request import Request
from flashsim_prod.core.site import Site
from flashsim_prod.errors import ConfigError

SECRET = "https://me:pass@chat.example.org:8443/hooks/S3CRET?token=S3CRET"


@pytest.mark.parametrize(
    "target",
    [SECRET, "http://127.0.0.1:80/", "https://h", "mailto:a@b", "mailto:a.b+c@d.example.org,e@f"],
)
def test_addresses(target: str) -> None:
    assert check_target(target) == target


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("ftp://S3CRET.org/x", "not an address that can be told"),
        ("me@example.org", "not an address that can be told"),
        ("https://", "without a host"),
        ("https://h:S3CRET/", "cannot be read"),
        ("https://[h/S3CRET", "cannot be read"),
        ("https://h/S3CRET\nX: y", "neither blanks nor letters"),
        ("https://h/S3CRET#S3CRET", "never reaches a server"),
        ("mailto:", "'' is no mail address"),
        ("mailto:-oQ/tmp@x", "is no mail address"),
        ("mailto:a@b?subject=x", "leave out what follows"),
        ("mailto:a@b%0aBcc:c@d", "is no mail address"),
        ("", "not an address that can be told"),
    ],
)
def test_what_is_none_is_refused_without_being_repeated(target: str, said: str) -> None:
    with pytest.raises(ConfigError, match="--notify") as error:
        typed_notify([target])
    assert said in str(error.value)
    assert "S3CRET/" not in str(error.value)
    assert "/S3CRET" not in str(error.value)


def test_only_the_host_of_a_server_is_shown() -> None:
    assert shown(SECRET) == "https://chat.example.org:8443/..."
    assert shown("http://h/") == "http://h/"
    assert shown("mailto:a@b") == "mailto:a@b"
    assert shown("https://h:S3CRET/") == "an address"


def test_nobody_is_something_else_than_nothing() -> None:
    assert typed_notify([]) is None
    assert typed_notify([NOBODY]) == Notify()
    with pytest.raises(ConfigError):
        typed_notify([NOBODY, "mailto:a@b"])
    assert typed_notify(["mailto:a@b", "mailto:a@b"]) == Notify(to=("mailto:a@b",))
    assert mailboxes("mailto:a@b,c@d") == ("a@b", "c@d")


def test_a_site_says_who_is_told_and_requests_do_not_carry_it(make_request: Callable[..., Request]) -> None:
    site = make_request().site
    for written in ("mailto:a@b", ["mailto:a@b"], {"to": "mailto:a@b"}):
        told = Site.from_mapping({**site.model_dump(mode="json", exclude_none=True), "notify": written}, "x")
        assert told.notify == Notify(to=("mailto:a@b",))
        assert told.as_ordered() == site
        assert told.as_ordered(7).slots == 7
    assert "notify" not in site.model_dump(mode="json")
