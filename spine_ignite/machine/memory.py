"""How much memory there is for training, and how much was taken."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Protocol

import torch

from spine_ignite.errors import UsageError
from spine_ignite.machine.peak_memory import peak_memory_mib

# Shares of the free memory that may be taken; beside a CPU's tensors there are loaders, files and other programs.
_OF_CPU = 0.8
_OF_GPU = 0.9


class Memory(Protocol):
    """The memory that a process trains in, in bytes.

    Args:
        limit: the most that this process may take.
    """

    limit: int

    def enforced(self) -> AbstractContextManager[None]:
        """Let the system refuse what goes far beyond the limit, in the block."""
        ...

    def start(self) -> None:
        """Forget the former peak."""
        ...

    def peak(self) -> int:
        """Return the most that this process has taken."""
        ...


class CpuMemory:
    """The machine's memory, as far as this process may have it.

    The peak is that of the process's life: it tells about a step that takes more than all before it.
    """

    def __init__(self) -> None:
        self._available = available_memory()
        self.limit = self.peak() + int(_OF_CPU * self._available)

    @contextmanager
    def enforced(self) -> Iterator[None]:
        """Let allocations fail, in the block, that Linux would grant and then kill some process for."""
        soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
        mapped = _mapped_data()
        if mapped is None or 0 <= soft < mapped + self._available:
            yield
            return
        resource.setrlimit(resource.RLIMIT_DATA, (mapped + self._available, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))

    def start(self) -> None:
        """Do nothing: a process cannot forget its peak everywhere."""

    def peak(self) -> int:
        """Return the most that this process has taken."""
        return int(peak_memory_mib() * 2**20)


class CudaMemory:
    """A GPU's memory: what torch's allocator holds, with what it cannot use of it, and what nobody holds."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        torch.cuda.empty_cache()
        free, _ = torch.cuda.mem_get_info(device)
        self.limit = torch.cuda.memory_reserved(device) + int(_OF_GPU * free)

    def enforced(self) -> AbstractContextManager[None]:
        """Do nothing: a GPU refuses what it does not have."""
        return nullcontext()

    def start(self) -> None:
        """Give back what is cached, and forget the former peak."""
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(self.device)

    def peak(self) -> int:
        """Wait for the device; return the most that torch's allocator has held since :meth:`start`."""
        torch.cuda.synchronize(self.device)
        return torch.cuda.max_memory_reserved(self.device)


def memory_of(device: torch.device) -> Memory:
    """Return the memory of a device, as it is now.

    Raises:
        UsageError: the device does not tell how much memory it has.
    """
    if device.type == "cuda":
        return CudaMemory(device)
    if device.type == "cpu":
        return CpuMemory()
    raise UsageError(
        f"data.batch_size=auto needs a device that tells its memory, which {device.type} does not; give a number"
    )


def _mapped_data() -> int | None:
    """Bytes of this process that Linux counts as data, or None on other systems."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmData:")), None)


def available_memory(root: Path = Path("/")) -> int:
    """Return the bytes that a process could take without pushing anything out of memory.

    On Linux that is what the kernel calls available, or what the process's control groups leave, if that is less:
    schedulers and containers limit memory so. Elsewhere it is half of the memory.

    Args:
        root: where ``proc`` and ``sys`` are.
    """
    found = [limit for folder, names in _control_groups(root) if (limit := _left(folder, *names)) is not None]
    try:
        lines = (root / "proc/meminfo").read_text(encoding="utf-8").splitlines()
        found += [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    except OSError:
        found.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2)
    return max(0, min(found))


# Names of the limit, of what is used, and of the part of that which the kernel gives up first: files read once.
_VERSION_1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
_VERSION_2 = ("memory.max", "memory.current", "inactive_file")


def _control_groups(root: Path) -> Iterator[tuple[Path, tuple[str, str, str]]]:
    """Yield the folders of the groups that this process is in, and of all groups around them."""
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        top = root / "sys/fs/cgroup" / ("memory" if controllers else "")
        here = top / path.lstrip("/")
        for folder in (here, *here.parents):  # in a container the path may be one of the host: only its top is there
            yield folder, _VERSION_1 if controllers else _VERSION_2
            if folder == top:
                break


def _left(folder: Path, limit: str, used: str, reclaimable: str) -> int | None:
    """Return what a group leaves, or None if it sets no limit."""
    try:
        most = int((folder / limit).read_text())
        taken = int((folder / used).read_text())
        lines = (folder / "memory.stat").read_text().splitlines()
    except (OSError, ValueError):  # without a limit the file says "max"
        return None
    return most - taken + sum(int(line.split()[1]) for line in lines if line.split()[0] == reclaimable)
