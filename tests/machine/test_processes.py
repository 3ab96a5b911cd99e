from __future__ import annotations

import pytest

from spine_ignite.errors import RunError
from spine_ignite.machine.processes import require_own_devices


def test_processes_have_devices_of_one_kind_and_each_its_own_gpu() -> None:
    require_own_devices([("one", "cpu", ""), ("one", "cpu", "")])
    require_own_devices([("one", "cuda", "a"), ("one", "cuda", "b"), ("two", "cuda", "c")])
    require_own_devices([("one", "cuda", ""), ("one", "cuda", "")])  # a driver that names none
    with pytest.raises(RunError, match=r"process 0 \(one\) works on cuda and process 1 \(two\) on cpu; see that all"):
        require_own_devices([("one", "cuda", "a"), ("two", "cpu", "")])
    with pytest.raises(RunError, match=r"process 1 \(one\) and process 2 \(one\) have the same GPU; start one"):
        require_own_devices([("one", "cuda", "a"), ("one", "cuda", "b"), ("one", "cuda", "b")])
