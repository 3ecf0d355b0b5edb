"""How long light commands take, interpreter included: python tests/benchmarks/help_time.py [repeats]."""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time

from flashsim_prod.production.home import VARIABLE

#: command and the most that it may take [s]
COMMANDS = {"--help": 0.4, "request --help": 0.4, "status": 1.0, "cards": 1.0, "datasets": 1.0}


def seconds(arguments: list[str], home: str) -> tuple[float, float]:
    """Wall time and CPU time of one command [s]."""
    environment = {**os.environ, VARIABLE: home}
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, "-m", "flashsim_prod.cli", *arguments],
        stdout=subprocess.DEVNULL,
        env=environment,
        check=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - start, cpu


def main() -> None:
    """Print the medians of each command beside its limit; on a busy machine only CPU time tells."""
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 9
    with tempfile.TemporaryDirectory() as home:
        for command, limit in COMMANDS.items():
            times = [seconds(command.split(), home) for _ in range(repeats)]
            wall, cpu = (statistics.median(column) for column in zip(*times, strict=True))
            verdict = "ok" if wall < limit else "TOO SLOW"
            print(f"{command:16} median {wall:.2f} s, CPU {cpu:.2f} s (limit {limit} s)  {verdict}")


if __name__ == "__main__":
    main()
