"""Several processes that train one network, held against one: steps, networks, failures, throughput.

    python benchmarks/shared_batches.py steps --updates 50       # largest difference of any weight, float64 and float32
    python benchmarks/shared_batches.py networks                 # every architecture takes a step in two processes
    python benchmarks/shared_batches.py failures --times 50      # kill, stop, or fill the disk of one, and resume
    python benchmarks/shared_batches.py throughput               # two processes of one thread, one of two; world size 1

Everything runs on gloo and phantoms; each process is ``processes_child.py`` or the command line itself.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from processes import median

from spine_ignite.config import LossConfig
from spine_ignite.errors import SpineIgniteError, UsageError
from spine_ignite.losses.criterion import create_loss
from spine_ignite.machine.precision import choose_precision
from spine_ignite.machine.processes import Processes, several_processes
from spine_ignite.models import create_model
from spine_ignite.nn.shared_batch_norm import share_batch_norms
from spine_ignite.phantom import write_phantoms
from spine_ignite.registry import load_registry
from spine_ignite.training.contract import Contract
from spine_ignite.training.step import UpdateStep
from spine_ignite.training.trainer import Trainer

CHILD = Path(__file__).with_name("processes_child.py")
SMALL = ["model.width=4", "model.depth=3", "data.batch_size=5", "train.steps_per_epoch=10"]
AUGMENT = ["augment.affine.p=1", "augment.elastic.p=0.5", "augment.noise.p=0.6"]
NORM = ["train.sync_batch_norm=true"]
CASES = {
    "augmentation, accumulation, EMA, clipping": [*AUGMENT, *NORM, "train.accumulate=2", "train.ema=0.9"],
    "patches, deep supervision": [
        *("data.sampling=patches", "data.patch.size=[32,32]", "model.deep_supervision=true"),
        *NORM,
    ],
    "fewer rows than processes": [*AUGMENT, *NORM, "data.batch_size=3"],
    "a loss of the logits of all rows": [*NORM, "loss.name=tversky"],
}
TINY = ["log.tensorboard=false", "data.spacing=[4,4]", "data.validation=0.3", "precision=fp32"]
PATIENCE = 60.0  # seconds in which the others are to end
DISK = 40_000  # bytes that a process may write to a file, where its disk is to be full


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["steps", "networks", "networks-child", "failures", "throughput"])
    parser.add_argument("--updates", type=int, default=50)
    parser.add_argument("--times", type=int, default=50)
    parser.add_argument("--only", nargs="*", help="architectures")
    options = parser.parse_args()
    if options.what.startswith("networks"):
        (networks if options.what == "networks" else take_steps)(options.only)
        return
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        write_phantoms(work / "data", 5, 0, num_slices=5)
        if options.what == "steps":
            steps(work, options.updates)
        elif options.what == "failures":
            failures(work, options.times)
        else:
            throughput(work)


def start(count: int, words: Sequence[object], **kwargs: Any) -> list[subprocess.Popen[str]]:
    """Start processes as torchrun would."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": str(count), **kwargs.pop("env", {})}
    command = [sys.executable, *map(str, words)]
    return [
        subprocess.Popen(
            command,
            env={**os.environ, **shared, "RANK": str(number), "LOCAL_RANK": str(number)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            **kwargs,
        )
        for number in range(count)
    ]


def finish(processes: list[subprocess.Popen[str]]) -> None:
    """Wait for all; a failure ends this program."""
    for process in processes:
        said, _ = process.communicate()
        if process.returncode:
            sys.exit(said)


def train(work: Path, name: str, count: int, precision: str, overrides: Sequence[str]) -> dict[str, torch.Tensor]:
    """Train, and return the last weights and averages."""
    shutil.rmtree(work / name, ignore_errors=True)
    finish(start(count, [CHILD, work / "data", work / name, precision, *overrides]))
    state = torch.load(work / f"{name}.pt")
    return {f"{part}.{key}": value for part, values in state.items() for key, value in values.items()}


def difference(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    """Return the largest difference of any number."""
    return max(float((value.double() - other[name].double()).abs().max()) for name, value in one.items())


def steps(work: Path, updates: int) -> None:
    """Compare the weights after so many updates."""
    print("| what | optimizer | 2 to 1, float64 | 4 to 1, float64 | 2 to 1, float32 | 2 threads to 1, float32 |")
    print("| --- | --- | --- | --- | --- | --- |")
    for what, case in CASES.items():
        for optimizer in ("sgd", "adamw"):
            accumulate = 2 if "train.accumulate=2" in case else 1
            overrides = [*SMALL, *case, f"optimizer.name={optimizer}", f"train.epochs={updates * accumulate // 10}"]
            one = train(work, "one", 1, "float64", overrides)
            cells = [difference(one, train(work, "several", count, "float64", overrides)) for count in (2, 4)]
            single = train(work, "one", 1, "float32", overrides)
            cells.append(difference(single, train(work, "several", 2, "float32", overrides)))
            cells.append(difference(single, train(work, "threads", 1, "float32:2", overrides)))
            print(f"| {what} | {optimizer} | " + " | ".join(f"{cell:.1e}" for cell in cells) + " |", flush=True)


def networks(only: list[str] | None) -> None:
    """Let every architecture take a step in two processes, and compare them; an unused parameter is an error."""
    processes = start(2, ["-u", __file__, "networks-child", *(["--only", *only] if only else [])])
    for line in processes[0].stdout or ():
        print(line, end="", flush=True)
    sys.exit(any(process.wait() for process in processes))


def take_steps(only: list[str] | None) -> None:
    """Take the steps as one of the two processes."""
    registry, wrong = load_registry(), []
    with several_processes() as processes:
        for name in only or sorted(model.value.name for model in registry.models()):
            fields = registry.find(name).value.options.model_fields
            known = {"backbone": "resnet18", "dropout": 0.0, "drop_path": 0.0}
            options = {key: value for key, value in known.items() if key in fields}
            try:
                registry.resolve_options(name, options)
            except UsageError:  # another family of encoders: its own default then
                del options["backbone"]
            try:
                told = "the processes differ" if one_step(name, options, processes) else ""
            except SpineIgniteError as error:  # of both
                told = str(error)
            wrong += [name] if told else []
            if processes.first:
                print(f"{name}: {told or 'a step, no unused parameter, equal in both'}", flush=True)
    if wrong:
        sys.exit(f"{len(wrong)} failed: {wrong}")


def one_step(name: str, options: dict[str, Any], processes: Processes) -> bool:
    """Take a step with 3 rows; return whether parameters or buffers of the two processes differ then."""
    torch.manual_seed(0)
    network = create_model(name, 1, 5, **options)
    share_batch_norms(network)
    optimizer = torch.optim.SGD(network.parameters(), 0.01)
    step = UpdateStep(
        network,
        optimizer,
        create_loss(LossConfig(), 5),
        device=torch.device("cpu"),
        precision=choose_precision("fp32", torch.device("cpu")),
        contract=Contract(name, "a plugin", 5),
        processes=processes,
        batch_size=3,
    )
    rows = processes.share.read(3)
    batch = {"image": torch.randn(3, 1, 64, 64)[rows], "label": torch.randint(0, 5, (3, 64, 64)).byte()[rows]}
    Trainer(step).run([batch], max_epochs=1)
    here = torch.cat([tensor.double().flatten() for tensor in network.state_dict().values()])
    finite = here[here.isfinite()]
    return not torch.equal(processes.add_up(finite.clone()), 2 * finite)


def failures(work: Path, times: int) -> None:
    """Harm one of two processes at random moments; the other must end, and the resumed run equal the unharmed one."""
    rng, found, slowest = random.Random(0), Counter[str](), 0.0
    settings = [*TINY, *SMALL, "train.epochs=12", "train.steps_per_epoch=4", f"data.cache={work / 'cache'}"]
    sets = [word for setting in settings for word in ("--set", setting)]
    words = ["-m", "spine_ignite", "train", "--data", work / "data", *sets, "--out"]
    whole = start(2, [*words, work / "whole"])
    length = -began(work / "whole")
    finish(whole)
    length += time.monotonic()
    for time_ in range(times):
        harm, run = rng.choice(["kill", "stop", "disk"]), work / "harmed"
        shutil.rmtree(run, ignore_errors=True)
        hit = 0 if harm == "disk" else rng.randrange(2)
        processes = start(2, [*words, run])
        began(run)
        time.sleep(rng.uniform(0, 0.9) * length)
        if harm == "disk":  # no file of the process may grow any more
            resource.prlimit(processes[0].pid, resource.RLIMIT_FSIZE, (DISK, DISK))
        else:
            processes[hit].send_signal(signal.SIGKILL if harm == "kill" else signal.SIGSTOP)
        hurt = time.monotonic()
        try:
            said = processes[1 - hit].communicate(timeout=3 * PATIENCE)[0]
        except subprocess.TimeoutExpired:
            said = "it went on"
        took = time.monotonic() - hurt
        processes[hit].kill()
        processes[hit].communicate()
        processes[1 - hit].kill()
        over = processes[1 - hit].returncode == 0
        told = f"process {hit} of 2" in said
        slowest = slowest if over else max(slowest, took)
        if not over:
            outcome = "told" if told and took < PATIENCE else f"NOT TOLD after {took:.0f} s: {said[-300:]}"
        else:
            outcome = "had come to its end"
        same = over or resumed(work, run)
        found[f"{harm}, {outcome}, {'equal' if same else 'NOT EQUAL'}"] += 1
        print(
            f"{time_ + 1}: {harm} process {hit}: {outcome} ({took:.0f} s), {'equal' if same else 'NOT EQUAL'}",
            flush=True,
        )
    for outcome, count in sorted(found.items()):
        print(f"| {outcome} | {count} |")
    print(f"The slowest ended after {slowest:.0f} s")


def began(run: Path) -> float:
    """Wait until a run is there, for which its processes must have found each other, and return the time.

    Before that the others wait up to five minutes for one that does not come: it may only be slow to start.
    """
    while not (run / "config.yaml").exists():
        time.sleep(0.02)
    return time.monotonic()


def resumed(work: Path, run: Path) -> bool:
    """Resume a harmed run, or begin it anew where it had not begun; return whether it is equal to the unharmed one."""
    if not (run / "checkpoints" / "last.pt").exists():
        return True  # there is nothing to go on from, and nothing that could be wrong
    finish(start(2, ["-m", "spine_ignite", "train", "--resume", run]))
    states = [torch.load(folder / "checkpoints" / "last.pt", weights_only=True) for folder in (work / "whole", run)]
    return all(torch.equal(states[0]["model"][name], value) for name, value in states[1]["model"].items())


def throughput(work: Path) -> None:
    """Time two processes with a thread each, one with two, and one with and without a launcher."""
    import json

    settings = ["model.width=16", "model.depth=5", "data.batch_size=8", "train.steps_per_epoch=12", "train.epochs=2"]
    settings += ["log.tensorboard=false", "data.spacing=[2,2]", "precision=fp32", f"data.cache={work / 'cache'}"]
    sets = [word for setting in settings for word in ("--set", setting)]
    rates: dict[str, list[float]] = {"2 x 1 thread": [], "1 x 2 threads": [], "world size 1": [], "no launcher": []}
    plan = {"2 x 1 thread": (2, "1"), "1 x 2 threads": (1, "2"), "world size 1": (1, "1"), "no launcher": (1, "1")}
    for _ in range(3):
        for name, (count, threads) in plan.items():
            out = work / "timed"
            shutil.rmtree(out, ignore_errors=True)
            words = ["-m", "spine_ignite", "train", "--data", work / "data", *sets, "--out", out]
            if name == "no launcher":
                subprocess.run(
                    [sys.executable, *map(str, words)],
                    check=True,
                    stdout=subprocess.DEVNULL,
                    env={**os.environ, "OMP_NUM_THREADS": threads},
                )
            else:
                finish(start(count, words, env={"OMP_NUM_THREADS": threads}))
            rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
            rates[name].append(rows[-1]["slices_per_second"])
    for name, values in rates.items():
        print(f"{name}: {median(values):.1f} slices/s")
    print(f"two processes to two threads: {median(rates['2 x 1 thread']) / median(rates['1 x 2 threads']):.2f}")
    print(f"world size 1 to none: {median(rates['world size 1']) / median(rates['no launcher']):.3f}")


if __name__ == "__main__":
    main()
