"""A worker's tie to its driver: when the driver dies, however suddenly, its workers die too.

The driver holds the writing end of each worker's standard input and never writes. The kernel closes it
with the driver, and the worker then reads the end of the file.
"""

from __future__ import annotations

#: set to 1 in the environment of a worker that must not outlive its driver
DIE_WITH_PARENT = "FLASHSIM_PROD_DIE_WITH_PARENT"


def die_with_parent() -> None:
    """Watch standard input in the background and end this process group at its end.

    Does nothing unless the environment has ``FLASHSIM_PROD_DIE_WITH_PARENT=1``. Call it first thing in a
    worker, before anything heavy is imported.
    """
    raise NotImplementedError
