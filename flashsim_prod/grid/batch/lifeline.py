"""A worker's tie to its driver: when the driver dies, however suddenly, its workers die too.

The driver holds the writing end of each worker's standard input and never writes. The kernel closes it
with the driver, and the worker then reads the end of the file.
"""

from __future__ import annotations

import os
import signal
import threading

#: set to 1 in the environment of a worker that must not outlive its driver
DIE_WITH_PARENT = "FLASHSIM_PROD_DIE_WITH_PARENT"

_STDIN = 0


def die_with_parent() -> None:
    """Watch standard input in the background and end this process and its children at its end.

    Does nothing unless the environment has ``FLASHSIM_PROD_DIE_WITH_PARENT=1``. Call it first thing in a
    worker, before anything heavy is imported.
    """
    if os.environ.get(DIE_WITH_PARENT) == "1":
        threading.Thread(target=_watch, name="lifeline", daemon=True).start()


def _watch() -> None:
    while os.read(_STDIN, 1):
        pass
    if os.getpgrp() == os.getpid():
        # the driver starts each worker as the leader of a group, which its children belong to
        os.killpg(0, signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)
