"""Events in, events out: knows nothing of grids."""

import os

# Threads that wait for each other spin by default, which on a busy machine takes the cores from those that
# they wait for. It is read when torch loads the threads' library, which only modules of this package do.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("KMP_BLOCKTIME", "0")
