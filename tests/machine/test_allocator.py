from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

SCRIPT = """
import resource
import numpy as np
from spine_ignite.machine.allocator import keep_freed_memory

def faults():
    for _ in range(3):
        np.empty(16 * 2**20, np.float32).fill(1)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        np.empty(16 * 2**20, np.float32).fill(1)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

without = faults()
print(keep_freed_memory(), without, faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's allocator is meant")
def test_memory_is_not_asked_for_again() -> None:
    # In small pages: numpy asks for large ones, of which there are so few that the difference says nothing.
    environment = {**os.environ, "NUMPY_MADVISE_HUGEPAGE": "0"}
    process = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, env=environment
    )
    kept, without, with_it = process.stdout.split()
    assert kept == "True"
    assert int(without) > 10_000  # 64 MiB five times: some 80,000 pages
    assert int(with_it) < int(without) / 100
