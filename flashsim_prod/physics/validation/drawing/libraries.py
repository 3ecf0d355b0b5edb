"""Whether the libraries that a report needs, and nothing else does, are installed."""

from __future__ import annotations

from importlib.util import find_spec

from flashsim_prod.errors import NodeError

_NEEDED = {"sklearn": "scikit-learn", "matplotlib": "matplotlib", "mplhep": "mplhep"}


def check_libraries() -> None:
    """Raise `NodeError`, saying what to install, if one is missing."""
    missing = [package for module, package in _NEEDED.items() if find_spec(module) is None]
    if missing:
        raise NodeError(
            f"a report needs {' and '.join(missing)}, not installed here; "
            "run: pip install 'flashsim-prod[report]'"
        )
