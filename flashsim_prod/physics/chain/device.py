"""Which device the networks run on."""

from __future__ import annotations

import multiprocessing
import os
import sys
from functools import cache
from typing import Any

from flashsim_prod.core.choices import Device
from flashsim_prod.errors import NodeError

#: what CUDA_VISIBLE_DEVICES says where there is none to see; 10000 is HTCondor's word
_NO_GPU = ("10000", "-1", "none", "void", "NoDevFiles")


def pick_device(wanted: Device, *, threads: int | None = None) -> str:
    """``cpu`` or ``cuda``, as torch names them; on a CPU, torch is kept to `threads`.

    A batch system that hands out one GPU of several narrows CUDA_VISIBLE_DEVICES, so ``cuda`` is always
    the one that was assigned. The GPU itself is not touched in this process: its children may want it.

    Raises
    ------
    NodeError
        If a GPU is wanted and this machine has none that torch can use.
    """
    if threads is not None:
        keep_to_threads(threads)
    if wanted is Device.CPU:
        return "cpu"
    if _gpu() is not None:
        return "cuda"
    if wanted is Device.CUDA:
        raise NodeError("a GPU was asked for, but torch finds none here; use --device cpu, or another node")
    return "cpu"


def keep_to_threads(threads: int) -> None:
    """Have the networks use so many threads of the CPU."""
    import torch

    # more threads than a job was given fight with its neighbours' for the same cores
    torch.set_num_threads(threads)


def assigned_gpus(promised: int) -> tuple[str, ...]:
    """The GPUs that this job may use, as the batch system names them; none if it was promised none.

    Raises
    ------
    NodeError
        If it was promised some and has fewer.
    """
    if not promised:
        return ()
    # batch systems that assign none say so by a name that no GPU has
    named = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    gpus = tuple(name for name in named if name and name not in _NO_GPU)
    if len(gpus) < promised:
        raise NodeError(f"the job was promised {promised} GPU(s), but this machine assigned it {len(gpus)}")
    return gpus


def device_name(device: str) -> str:
    """``cpu``, or the name of the GPU, for reports."""
    return "cpu" if device == "cpu" else _gpu() or device


def _gpu() -> str | None:
    """Name of the GPU that torch can use, or ``None`` if there is none."""
    import torch

    cuda: Any = torch.cuda
    if cuda.is_initialized():
        return _named()
    return _asked_elsewhere() if torch.version.cuda or torch.version.hip else None


@cache
def _asked_elsewhere() -> str | None:
    """The same, by a process of its own: no process is forked from one with CUDA loaded that could use it."""
    if sys.platform != "linux":
        return _named()
    context = multiprocessing.get_context("fork")
    told, tell = context.Pipe(duplex=False)
    process = context.Process(target=lambda: tell.send(_named()), daemon=True)
    process.start()
    tell.close()
    try:
        found: str | None = told.recv()
    except EOFError:
        # it was killed, or ended by the driver
        found = None
    finally:
        process.join()
        told.close()
    return found


def _named() -> str | None:
    import torch

    try:
        return torch.cuda.get_device_name("cuda") if torch.cuda.is_available() else None
    except (RuntimeError, AssertionError):
        return None
