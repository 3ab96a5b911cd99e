"""The other tools that benchmarks measure beside this program, in an environment of their own: ``benchmarks/.peers``.

``peers.txt`` pins them. What they share with the project (torch, scipy, SimpleITK ...) is borrowed from the environment
that runs this, by a ``.pth`` file that names its packages, which saves gigabytes and lets both use one torch. Nothing
is installed into the project's environment. The benchmarks call :func:`peer`, which installs when something is missing.

    python benchmarks/peers.py
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

HERE = Path(__file__).resolve().parent
FOLDER = HERE / ".peers"
PINNED = HERE / "peers.txt"
_DONE = FOLDER / "installed"  # written last


def peer(command: str = "python") -> Path:
    """Return a program of the peers' environment, such as ``nnUNetv2_train``; install them if they are missing."""
    if not _is_up_to_date():
        _install()
    return FOLDER / "bin" / command


def site_packages() -> Path:
    """Return the folder of the peers' packages."""
    return Path(sysconfig.get_path("purelib", vars={"base": str(FOLDER), "platbase": str(FOLDER)}))


def _state() -> str:
    made_of = b"".join((HERE / name).read_bytes() for name in ("peers.txt", "peers.py", "peers_torchvision.py"))
    return f"{hashlib.sha256(made_of).hexdigest()} {sysconfig.get_path('purelib')}"


def _is_up_to_date() -> bool:
    return _DONE.is_file() and _DONE.read_text() == _state()


def _install() -> None:
    """Build the environment anew; ends the program with one sentence if that fails."""
    print(f"installing {PINNED.name} into {FOLDER} (a minute, 330 MB)", file=sys.stderr, flush=True)
    python = FOLDER / "bin" / "python"
    for words in (
        [sys.executable, "-m", "venv", "--clear", FOLDER],
        [python, "-m", "pip", "install", "--quiet", "--no-deps", "--disable-pip-version-check", "-r", PINNED],
    ):
        done = subprocess.run([str(word) for word in words], capture_output=True, text=True)
        if done.returncode:
            last = next((line for line in done.stderr.splitlines() if line.startswith("ERROR")), done.stderr[-300:])
            sys.exit(
                f"nnU-Net and kornia could not be installed into {FOLDER} ({' '.join(last.split())}); "
                "this needs a package index that pip can reach and Python 3.11 or newer"
            )
    (site_packages() / "project.pth").write_text(sysconfig.get_path("purelib") + "\n")
    if subprocess.run([str(python), "-c", "import torchvision"], capture_output=True).returncode:
        (site_packages() / "torchvision").mkdir()
        shutil.copy(HERE / "peers_torchvision.py", site_packages() / "torchvision" / "__init__.py")
    _DONE.write_text(_state())


if __name__ == "__main__":
    print(peer())
