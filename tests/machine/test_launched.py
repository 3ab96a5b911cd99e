from __future__ import annotations

import socket

import pytest

from spine_ignite.errors import UsageError
from spine_ignite.machine.launched import Place, place_of_launch

TORCHRUN = {
    "RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "4", "MASTER_ADDR": "one",
    "MASTER_PORT": "29400", "TORCHELASTIC_USE_AGENT_STORE": "True", "TORCHELASTIC_RESTART_COUNT": "2",
}  # fmt: skip
SRUN = {
    "SLURM_JOB_ID": "17", "SLURM_STEP_ID": "3", "SLURM_STEP_NUM_TASKS": "4", "SLURM_PROCID": "2", "SLURM_LOCALID": "0",
    "SLURM_STEP_TASKS_PER_NODE": "2(x2)", "SLURM_STEP_NODELIST": "gpu[07-08,11],login",
    "SLURM_SRUN_COMM_HOST": "10.0.0.9",
}  # fmt: skip


def test_torchrun_and_srun_say_where_a_process_is(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def look_up(name: str, _port: object) -> list[object]:
        asked.append(name)
        if name == "gone":
            raise OSError
        return []

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    assert place_of_launch(TORCHRUN) == Place(5, 8, 1, 4, "one", 29400, True, 2)
    assert place_of_launch(SRUN) == Place(2, 4, 0, 2, "gpu07", 20000 + 17 * 31 + 3)
    assert asked == ["gpu07"]
    other = {**SRUN, "SLURM_STEP_NODELIST": "gone", "SLURM_STEP_ID": "4"}
    assert place_of_launch(other) == Place(2, 4, 0, 2, "10.0.0.9", 20000 + 17 * 31 + 4)  # two steps have two ports


def test_a_program_that_the_script_of_a_job_starts_is_alone() -> None:
    assert place_of_launch({"SLURM_JOB_ID": "17", "SLURM_NTASKS": "4", "SLURM_PROCID": "0"}) is None
    assert place_of_launch({**SRUN, "SLURM_STEP_NUM_TASKS": "1"}) is None
    assert place_of_launch({}) is None


def test_half_a_launcher_is_told() -> None:
    with pytest.raises(
        UsageError, match="the environment speaks of several processes, but not as torchrun and srun do"
    ):
        place_of_launch({"RANK": "1", "WORLD_SIZE": "2"})
