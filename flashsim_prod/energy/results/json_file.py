"""Reading a measurement's JSON."""

from __future__ import annotations

import json
from pathlib import Path

from flashsim_prod.energy.record import Measurement
from flashsim_prod.errors import InputError
from flashsim_prod.files import read_bytes


def read_json(path: Path) -> object:
    """What a JSON file holds; `InputError` if it cannot be read."""
    try:
        return json.loads(read_bytes(path))
    except OSError as error:
        raise InputError(f"{path}: this file cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise InputError(f"{path}: this is no JSON: {error}") from error


def read_measurement(path: Path) -> Measurement:
    """A measurement as `energy-bench` wrote it; `ConfigError` names what is wrong with it."""
    found = read_json(path)
    if isinstance(found, dict) and "plugins" in found:
        raise InputError(
            f"{path}: this is a report of the HEP Benchmark Suite; flashsim-prod energy-bench import reads it"
        )
    return Measurement.from_mapping(found, str(path))
