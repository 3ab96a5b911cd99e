"""Slurm itself on one host: a controller and two nodes, in a temporary folder, stopped afterwards.

Both nodes are this machine, told apart by their ports. Debian: ``apt-get install slurm-wlm munge``. Where these are not
there, or without the rights of root that they ask for, the tests are skipped with the reason.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import pytest

PROGRAMS = ("munged", "slurmctld", "slurmd", "srun", "sbatch", "scontrol")
NODES = ("n1", "n2")
PATIENCE = 900.0  # seconds: a machine may have other things to do
_CONF = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.%n.log
SlurmctldPort={ports[0]}
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0,defer_batch
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
ReturnToService=2
SlurmdTimeout=10
InactiveLimit=0
KillWait=5
MinJobAge=300
JobRequeue=1
RebootProgram=/bin/true
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=1 State=UNKNOWN
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=1 State=UNKNOWN
PartitionName=all Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP
"""


def unable() -> str | None:
    """Say why Slurm cannot be started here; None if it can."""
    lacking = [name for name in PROGRAMS if shutil.which(name) is None]
    if lacking:
        return f"there is no {lacking[0]}; Debian: apt-get install slurm-wlm munge"
    if os.geteuid() != 0:
        return "slurmd and munged are started as root, and this is another user"
    try:
        import submitit  # noqa: F401
    except ImportError:
        return "submitit is not installed; pip install 'spine-ignite[cluster]'"
    return None


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on, at this moment."""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


@dataclass
class Cluster:
    """A Slurm that runs.

    Args:
        folder: with its configuration, logs and state.
        processes: its daemons by name.
    """

    folder: Path
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, name: str, *command: object) -> None:
        """Start a daemon in the foreground."""
        log = (self.folder / f"{name}.out").open("ab")
        words = [str(word) for word in command]
        self.processes[name] = subprocess.Popen(words, stdout=log, stderr=log, start_new_session=True)
        log.close()

    def start_controller(self) -> None:
        """Start the daemon that hands out jobs; it goes on from what it saved."""
        self.start("slurmctld", "slurmctld", "-D", "-i", "-f", self.folder / "slurm.conf")

    def start_node(self, node: str) -> None:
        """Start the daemon of a node."""
        self.start(node, "slurmd", "-D", "-N", node, "-f", self.folder / "slurm.conf")

    def kill_node(self, node: str) -> None:
        """Let a node die: its daemon, its steps and all that they run end at once, without a word to anybody."""
        daemon = self.processes.pop(node)
        children = [daemon.pid, *_below(_step_managers(self.folder / f"slurmd.{node}.log"))]
        for process in children:
            _kill(process)
        daemon.wait()

    def stop(self) -> None:
        """End all daemons and what they still run."""
        subprocess.run(["scancel", "--user", "root"], capture_output=True, timeout=30, check=False)
        end = time.monotonic() + 20
        while self.run("squeue", "--noheader", check=False) and time.monotonic() < end:
            time.sleep(0.2)
        for name in (*NODES, "slurmctld", "munged"):
            process = self.processes.get(name)
            if process is not None:
                process.terminate()
        for process in self.processes.values():
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for node in NODES:
            for process_id in _below(_step_managers(self.folder / f"slurmd.{node}.log")):
                _kill(process_id)

    def run(self, *command: object, check: bool = True) -> str:
        """Run a command of Slurm's, and return what it prints."""
        words = [str(word) for word in command]
        found = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE, check=False)
        assert not check or found.returncode == 0, f"{words}: {found.stdout}{found.stderr}"
        return found.stdout

    def states(self) -> dict[str, str]:
        """State of every job that Slurm knows, by its number."""
        lines = self.run("squeue", "--noheader", "--array", "--states=all", "--format=%i %T").splitlines()
        return dict(line.split() for line in lines)

    def ended(self) -> list[str]:
        """The daemons that ended by themselves."""
        return [name for name, process in self.processes.items() if process.poll() is not None]

    def told(self) -> str:
        """What its logs say, for a test that fails."""
        return "\n".join(
            f"== {path.name}\n{path.read_text(errors='replace')[-3000:]}" for path in self.folder.glob("*.log")
        )

    def hurry(self) -> None:
        """Let jobs start soon that were put back into the queue: Slurm gives them two minutes' rest.

        Not at once: within the second of its end a job's credential is still taken for the one that was revoked.
        """
        pending = ("squeue", "--noheader", "--array", "--states=PENDING", "--format=%i %r %S")
        for line in self.run(*pending, check=False).splitlines():
            job, reason, start = line.split()[:3]
            if reason != "BeginTime" or start == "N/A":  # the time is not there at once
                continue
            if (datetime.fromisoformat(start) - datetime.now()).total_seconds() > 20:
                self.run("scontrol", "update", f"JobId={job}", "StartTime=now+5", check=False)

    def wait(self, ready: Callable[[], bool], what: str, seconds: float = PATIENCE) -> None:
        """Wait until something is so."""
        end = time.monotonic() + seconds
        while not ready():
            assert self.ended() == [], f"{self.ended()} ended while waiting: {what}\n{self.told()}"
            assert time.monotonic() < end, (
                f"{what}: not within {seconds:g} s\n{self.run('squeue', check=False)}\n{self.told()}"
            )
            self.hurry()
            time.sleep(0.2)


def _step_managers(log: Path) -> list[int]:
    """The slurmstepd of a node's jobs, which write into its log and tell their node in no other way."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            with suppress(OSError):
                if (folder / "cmdline").read_bytes().startswith(b"slurmstepd"):
                    opened = {os.readlink(link) for link in (folder / "fd").iterdir()}
                    if str(log) in opened:
                        found.append(int(folder.name))
    return found


def _below(roots: Sequence[int]) -> list[int]:
    """Some processes and all that descend from them."""
    parents: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents.setdefault(int(fields[1]), []).append(int(folder.name))
    found = list(roots)
    for process in found:
        found += parents.get(process, [])
    return found


def _kill(process: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)


@pytest.fixture(scope="session")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Slurm with the nodes n1 and n2, each of one core; commands of Slurm find it."""
    reason = unable()
    if reason is not None:
        if os.environ.get("REQUIRE_SLURM"):
            pytest.fail(reason)
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("slurm")
    for name in ("state", *(f"spool.{node}" for node in NODES)):
        (folder / name).mkdir()
    host = socket.gethostname()
    (folder / "slurm.conf").write_text(_CONF.format(folder=folder, host=host, ports=free_ports(3)))
    key = folder / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o600)
    started = Cluster(folder)
    former = {name: os.environ.get(name) for name in ("SLURM_CONF",)}
    os.environ["SLURM_CONF"] = str(folder / "slurm.conf")
    try:
        started.start(
            "munged", "munged", "--foreground", "--force", f"--key-file={key}", f"--socket={folder}/munge.socket",
            f"--pid-file={folder}/munged.pid", f"--seed-file={folder}/munge.seed", f"--log-file={folder}/munged.log",
        )  # fmt: skip
        started.wait(lambda: (folder / "munge.socket").exists(), "munged listens")
        started.start_controller()
        for node in NODES:
            started.start_node(node)
        started.wait(
            lambda: started.run("sinfo", "--noheader", "--Node", "--format=%T", check=False).split() == ["idle"] * 2,
            "both nodes are idle",
        )
        yield started
    finally:
        started.stop()
        for name, value in former.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@pytest.fixture
def cluster(slurm: Cluster) -> Iterator[Cluster]:
    """Slurm without the jobs of other tests, and with its controller, whatever the test before did to it."""
    if "slurmctld" in slurm.ended():
        slurm.start_controller()
    yield slurm
    slurm.run("scancel", "--user", "root", check=False)
    assert slurm.ended() == [], slurm.told()


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six training and two test cases of three slices each."""
    from spine_ignite import cli

    folder = tmp_path_factory.mktemp("phantoms") / "data"
    assert cli.run(["phantom", str(folder), "--train", "6", "--test", "2", "--slices", "3"]) == 0
    return folder
