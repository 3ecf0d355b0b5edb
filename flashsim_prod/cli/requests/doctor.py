"""``doctor``: what works here."""

from __future__ import annotations

from dataclasses import asdict

from flashsim_prod.cli.options import Json
from flashsim_prod.cli.show import print_json
from flashsim_prod.errors import NodeError
from flashsim_prod.production.views.doctor import examine


def doctor(as_json: Json = False) -> None:
    """Say what works on this machine, and how to mend what does not.

    It ends with exit code 22 if something is missing that a request on this machine needs.
    """
    found = examine()
    if as_json:
        print_json([asdict(one) for one in found])
    else:
        for one in found:
            state = "ok" if one.is_fine else "MISSING" if one.is_needed else "missing"
            print(f"{state:8} {one.what:10} {one.detail}")
    missing = [one.what for one in found if one.is_needed and not one.is_fine]
    if missing:
        raise NodeError(f"no request can run on this machine: {', '.join(missing)} missing; see above")
