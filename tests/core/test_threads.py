"""One list of the variables that numerical libraries read, wherever they are set."""

from __future__ import annotations

import re
from pathlib import Path

from flashsim_prod import resources
from flashsim_prod.threads import VARIABLES, thread_environment

THREADS = re.compile(r"\b\w+_(?:NUM|MAXIMUM)_THREADS\b")


def test_every_library_is_told_the_same_number() -> None:
    assert thread_environment(3) == dict.fromkeys(VARIABLES, "3")


def test_nothing_else_in_the_package_names_these_variables() -> None:
    package = Path(resources.__file__).parent
    naming = {
        str(path.relative_to(package))
        for path in package.rglob("*.py")
        if THREADS.search(path.read_text(encoding="utf-8"))
    }
    assert naming == {"threads.py"}


def test_templates_set_no_variable_that_is_not_in_the_list() -> None:
    found = {
        name
        for path in resources.templates_dir().rglob("*.j2")
        for name in THREADS.findall(path.read_text(encoding="utf-8"))
    }
    assert found <= set(VARIABLES)
