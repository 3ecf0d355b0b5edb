"""A stand-in for ``nvidia-smi``: run it by a script of that name, first on PATH.

NVSMI_SIM names a JSON file, read at every call: ``{"gpus": [{"power.draw": 10.2}, ...], "fail": null}``. A
field that a GPU lacks prints [N/A], null [Not Supported], a string prints as it is. A GPU ``{"lost": true}``
prints a sentence in place of its row, and the program ends with 15. ``fail`` is one of `FAILURES`.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

FAILURES = {
    "driver": (
        9,
        "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. "
        "Make sure that the latest NVIDIA driver is installed and running.\n",
    ),
    "nogpu": (6, "No devices were found"),
    "mismatch": (18, "Failed to initialize NVML: Driver/library version mismatch"),
}
LOST = "Unable to determine the device handle for GPU 0000:"
FIELDS = ("index", "uuid", "name", "power.draw")


def main(arguments: list[str]) -> int:
    """Answer ``--query-gpu=... --format=csv,noheader,nounits``."""
    options = dict(argument.split("=", 1) for argument in arguments if "=" in argument)
    if options.keys() != {"--query-gpu", "--format"} or options["--format"] != "csv,noheader,nounits":
        print("Invalid combination of input arguments. Please run 'nvidia-smi -h' for help.\n")
        return 1
    state = json.loads(Path(os.environ["NVSMI_SIM"]).read_text(encoding="utf-8"))
    if state.get("fail"):
        code, line = FAILURES[state["fail"]]
        print(line)
        return code
    fields = options["--query-gpu"].split(",")
    wrong = [field for field in fields if field not in FIELDS]
    if wrong:
        print(f'Field "{wrong[0]}" is not a valid field to query.\n')
        return 2
    for index, gpu in enumerate(state["gpus"]):
        if gpu.get("lost"):
            print(f"{LOST}{index + 1:02d}:00.0: GPU is lost.  Reboot the system to recover this GPU")
            continue
        print(", ".join(_cell({"index": index, **gpu}, field) for field in fields))
    return 15 if any(gpu.get("lost") for gpu in state["gpus"]) else 0


def _cell(gpu: dict[str, object], field: str) -> str:
    value = gpu.get(field, "[N/A]")
    if value is None:
        return "[Not Supported]"
    return f"{value:.2f}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
