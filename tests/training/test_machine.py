"""What the program changes in the process it runs in."""

import platform
import subprocess
import sys

import pytest
from small import ROOT

# A tensor's memory, written to, freed and asked for again: how many pages came anew?
ALLOCATE_AGAIN = """
import ctypes, resource, sys
from emotion_detective.training import machine
if sys.argv[1] == "kept":
    machine.keep_freed_memory()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.malloc.argtypes = [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]
def use():
    block = libc.malloc(50_000_000)
    ctypes.memset(block, 1, 50_000_000)
    libc.free(block)
use()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
use()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def count_new_pages(how: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", ALLOCATE_AGAIN, how],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    return int(done.stdout)


@pytest.mark.slow
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries do otherwise")
def test_freed_memory_is_kept_for_the_next_step(monkeypatch):
    for name in ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"):
        monkeypatch.delenv(name, raising=False)
    assert 10 * count_new_pages("kept") < count_new_pages("usual")
