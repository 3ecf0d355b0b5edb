"""Pages of libraries that are not used are given back, and nothing else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from flashsim_prod.production.job import unused
from flashsim_prod.production.job.unused import Mapped, give_back, unwritten

SMAPS = """\
10000-14000 r--p 00000000 08:01 11        /lib/a.so.1
Rss:                  16 kB
Anonymous:             0 kB
AnonHugePages:         0 kB
14000-1a000 r-xp 00004000 08:01 11        /lib/a.so.1
Rss:                   8 kB
Anonymous:             4 kB
1a000-1c000 r--p 0000a000 08:01 11        /lib/a.so.1
Anonymous:             8 kB
1c000-1d000 rw-p 0000c000 08:01 11        /lib/a.so.1
Anonymous:             0 kB
20000-21000 r-xp 00000000 00:00 0         [vdso]
Anonymous:             0 kB
30000-31000 r--p 00000000 08:01 12        /data/events.root
Anonymous:             0 kB
40000-48000 r-xp 00001000 08:01 13        /a place/b.cpython-311.so
Anonymous:             0 kB
50000-51000 r--p 00000000 00:00 0
Anonymous:             0 kB
"""


def test_only_what_is_in_a_librarys_file_alone_is_given_back() -> None:
    """Not where addresses were put in, what may be written to, or what is no library's."""
    assert list(unwritten(SMAPS.splitlines())) == [
        Mapped(0x10000, 0x4000, "/lib/a.so.1"),
        Mapped(0x40000, 0x8000, "/a place/b.cpython-311.so"),
    ]


#: prints how much of files a process holds before and after, if what it computes is the same
WORKS_ON = """
import numpy as np, scipy.linalg
from flashsim_prod.production.job.unused import give_back

def of_files_kb():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("RssFile:"))

matrix = np.random.default_rng(1).normal(size=(40, 40))
inverse, before = scipy.linalg.inv(matrix), of_files_kb()
give_back()
after = of_files_kb()
assert np.array_equal(scipy.linalg.inv(matrix), inverse)
print(before, after)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="sys.platform: only Linux tells what is mapped")
def test_libraries_work_on_without_their_pages() -> None:
    # in a process of its own: in this one others may have given back before
    done = subprocess.run([sys.executable, "-c", WORKS_ON], capture_output=True, text=True, check=True)
    before, after = map(int, done.stdout.split())
    assert after < 0.5 * before


def test_where_nothing_is_told_nothing_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unused, "_SMAPS", tmp_path / "none")
    give_back()
    (tmp_path / "odd").write_bytes(b"\xff\xfe no such thing")
    monkeypatch.setattr(unused, "_SMAPS", tmp_path / "odd")
    give_back()
