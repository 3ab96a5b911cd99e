from __future__ import annotations

import signal
import subprocess
import sys

import pytest

SCRIPT = """
import os, signal, time
from spine_ignite.engines.workers import workers_end_with_us

with workers_end_with_us():
    if os.fork() == 0:
        time.sleep(600)
        os._exit(0)
{wait}
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere torch's own watch is all there is")
@pytest.mark.parametrize("wait", ["", "time.sleep(0.5)"], ids=["killed while it forks", "killed later"])
def test_a_fork_does_not_outlive_a_killed_parent(wait: str) -> None:
    # The fork has the parent's standard output open too, so that the stream ends only when both have gone.
    script = SCRIPT.format(wait=wait)
    process = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, check=False, timeout=60)
    assert process.returncode == -signal.SIGKILL
