"""How numerical libraries are told on how many cores they may work: the one list of their variables."""

from __future__ import annotations

#: OpenMP, OpenBLAS, MKL and numexpr; each of them else takes all cores of a machine, in every job on it
LINUX_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
#: and Apple's Accelerate
VARIABLES = (*LINUX_VARIABLES, "VECLIB_MAXIMUM_THREADS")


def thread_environment(threads: int) -> dict[str, str]:
    """Variables that keep numerical libraries to `threads` threads."""
    return dict.fromkeys(VARIABLES, str(threads))
