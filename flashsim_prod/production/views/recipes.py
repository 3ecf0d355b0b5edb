"""Recipes of the software that nodes need: this version of flashsim-prod, with the versions that are here."""

from __future__ import annotations

import re
import sys
import tomllib
from dataclasses import dataclass
from enum import StrEnum
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from flashsim_prod import __version__, resources
from flashsim_prod.core.engines import IMAGE_PYTHON
from flashsim_prod.errors import ConfigError
from flashsim_prod.files import read_text

#: this package as pip knows it
_PACKAGE = "flashsim-prod"
#: what images begin as: Debian's own Python is the version that is developed with
_BASE = "docker.io/library/debian:bookworm-slim"
_CPU_INDEX = "https://download.pytorch.org/whl/cpu"
#: parts of PyTorch's builds for GPUs, which pins them itself
_OF_TORCH = re.compile(r"(nvidia-(?!ml-py$)|cuda-|triton$)")


class Recipe(StrEnum):
    """What a recipe is for."""

    CONTAINERFILE = "containerfile"
    APPTAINER = "apptainer"
    CVMFS = "cvmfs"
    CONDA = "conda"


_TEMPLATES = {
    Recipe.CONTAINERFILE: "Containerfile",
    Recipe.APPTAINER: "apptainer.def",
    Recipe.CVMFS: "cvmfs.sh",
    Recipe.CONDA: "environment.yml",
}


@dataclass(frozen=True)
class Written:
    """A recipe.

    Attributes
    ----------
    name : str
        What its file is called.
    text : str
    """

    name: str
    text: str


def write_recipe(recipe: Recipe, *, cpu: bool) -> Written:
    """A recipe for this version; `cpu` takes the smaller build of PyTorch, which uses no GPU.

    Raises
    ------
    ConfigError
        If flashsim-prod is not installed here, so that nobody knows with which versions it works.
    """
    name = _TEMPLATES[recipe]
    versions = pins()
    torch = versions.pop("torch", None) if cpu else versions.get("torch")
    text = (
        resources.templates("software", are_pages=False)
        .get_template(f"{name}.j2")
        .render(
            version=__version__,
            flags=" --cpu" if cpu else "",
            base=_BASE,
            folder=IMAGE_PYTHON.removesuffix("/bin/python"),
            python=IMAGE_PYTHON,
            minor=sys.version_info[:2],
            wheel=f"flashsim_prod-{__version__}-py3-none-any.whl",
            cpu=cpu,
            cpu_index=_CPU_INDEX,
            torch=torch,
            pins=[f"{name}=={version}" for name, version in versions.items()],
        )
    )
    return Written(name, text)


def pins() -> dict[str, str]:
    """Versions of all packages that flashsim-prod needs, directly or not, as they are installed here."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    found: dict[str, str] = {}
    seen: set[tuple[str, frozenset[str]]] = set()
    left: list[tuple[str, frozenset[str]]] = [(_PACKAGE, frozenset())]
    if find_spec("pyarrow") is not None:
        # who can order ntuples as parquet has nodes that can write them
        left.append(("pyarrow", frozenset()))
    while left:
        name, extras = left.pop()
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        version, needed = (__version__, _own_needs()) if name == _PACKAGE else _installed(name)
        # the build that is here (+cpu, +cu126) is no part of what others are to install
        found[name] = version.partition("+")[0]
        for line in needed:
            wanted = Requirement(line)
            marker = wanted.marker
            if marker is None or any(marker.evaluate({"extra": extra}) for extra in extras or {""}):
                left.append((canonicalize_name(wanted.name), frozenset(wanted.extras)))
    return {name: found[name] for name in sorted(found) if name != _PACKAGE and not _OF_TORCH.match(name)}


def _own_needs() -> list[str]:
    """What this package says it needs: in a checkout by the checkout, whose installation may be older."""
    project = Path(resources.__file__).parent.parent / "pyproject.toml"
    try:
        told = tomllib.loads(read_text(project))["project"]
        if told["name"] == _PACKAGE:
            return [str(line) for line in told["dependencies"]]
    except (OSError, ValueError, KeyError):
        pass
    return _installed(_PACKAGE)[1]


def _installed(name: str) -> tuple[str, list[str]]:
    """Version and needs of a package that is installed here."""
    try:
        package = metadata.distribution(name)
    except metadata.PackageNotFoundError as error:
        raise ConfigError(
            f"{name} is not installed in {sys.prefix}, so nobody knows with which versions of all packages "
            "flashsim-prod works; pip install it, and ask again from there"
        ) from error
    return package.version, list(package.requires or ())
