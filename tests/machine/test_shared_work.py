"""Work that two real processes share."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable

Start = Callable[..., list["subprocess.Popen[str]"]]
SHARE = """
import json
from spine_ignite.machine.processes import several_processes
from spine_ignite.machine.shared_work import share_out

done, shown = [], []

def do(item):
    done.append(item)
    if len(done) == 1:
        processes.wait()  # until the other has its first, too
    return 10 * item

def progress(items):
    for item in items:
        yield item
        shown.append(item)

with several_processes() as processes:
    for items in (list(range(9)), [5]):
        found = share_out(items, do, processes, size=lambda item: item, progress=progress)
        assert found == [10 * item for item in items], found
    print(json.dumps([done, shown]), flush=True)
    share_out([1], lambda item: 1 / 0, processes)
"""


def test_each_is_done_once_by_one_of_two_and_the_largest_first(start_processes: Start) -> None:
    processes = start_processes(2, "-c", SHARE)
    told = [process.communicate(timeout=600) for process in processes]
    (done, shown), (done_too, nothing) = (json.loads(said) for said, _ in told)
    assert sorted([*done, *done_too]) == sorted([*range(9), 5])
    assert {done[0], done_too[0]} == {8, 7}
    assert shown == [*range(9), 5]
    assert nothing == []
    assert [process.returncode for process in processes] == [1, 1]
    assert sum("ZeroDivisionError: division by zero" in errors.splitlines()[-1] for _, errors in told) == 2
