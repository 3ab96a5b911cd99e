"""What an architecture costs: parameters, FLOPs, latency, throughput, memory."""

from __future__ import annotations

import multiprocessing
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from spine_ignite.errors import RunError, SpineIgniteError
from spine_ignite.machine.peak_memory import peak_memory_mib
from spine_ignite.models import create_model


@dataclass(frozen=True, slots=True)
class Profile:
    """Cost of one architecture at one input size.

    Args:
        name: the architecture.
        parameters: all parameters.
        trainable: those that learn.
        gflops: floating-point operations of a forward pass for one slice, in 10^9; a multiplication and an addition
            count as two.
        latency_ms: median time of a forward pass for the batch, in ms.
        throughput: slices per second.
        memory_mib: on a GPU the most memory that tensors took, in MiB; on the CPU by how much the process grew beyond
            its size before the network was built.
    """

    name: str
    parameters: int
    trainable: int
    gflops: float
    latency_ms: float
    throughput: float
    memory_mib: float


def profile_model(
    name: str,
    options: Mapping[str, Any] | None = None,
    *,
    size: tuple[int, int] = (224, 224),
    batch: int = 1,
    in_channels: int = 1,
    classes: int = 20,
    device: str = "cpu",
    precision: str = "fp32",
    repeats: int = 10,
) -> Profile:
    """Measure an architecture in eval mode, in a fresh process, so that its memory can be told from everything else's.

    Args:
        name: a name from ``list-models``.
        options: the architecture's own options.
        size: rows and columns of a slice.
        batch: slices in a forward pass.
        in_channels: input channels.
        classes: classes, background included.
        device: ``cpu``, ``cuda`` …
        precision: ``fp32``, ``bf16`` or ``fp16`` (autocast).
        repeats: timed forward passes, after one that is not.

    Raises:
        SpineIgniteError: the architecture cannot be built.
        RunError: the process that measures ends without an answer, for instance for want of memory.
    """
    arguments = (name, dict(options or {}), size, batch, in_channels, classes, device, precision, repeats)
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_measure_and_send, args=(sender, arguments))
    process.start()
    sender.close()
    try:
        answer: Profile | SpineIgniteError = receiver.recv()
    except EOFError:
        process.join()
        raise RunError(
            f"the process that profiled '{name}' ended with code {process.exitcode} and without an answer: "
            f"choose a smaller size than {size[0]} x {size[1]} or a smaller batch than {batch}"
        ) from None
    process.join()
    if isinstance(answer, SpineIgniteError):
        raise answer
    return answer


def _measure_and_send(sender: Any, arguments: tuple[Any, ...]) -> None:
    try:
        answer: Profile | SpineIgniteError = _measure(*arguments)
    except SpineIgniteError as error:
        answer = error
    except (RuntimeError, MemoryError) as error:
        answer = RunError(f"'{arguments[0]}' cannot be profiled: {error}")
    sender.send(answer)


def _measure(
    name: str,
    options: dict[str, Any],
    size: tuple[int, int],
    batch: int,
    in_channels: int,
    classes: int,
    device: str,
    precision: str,
    repeats: int,
) -> Profile:
    with torch.device("meta"):  # imports everything, so that what follows is the network alone
        create_model(name, in_channels, classes, **options)
    before = peak_memory_mib()
    network = create_model(name, in_channels, classes, **options).eval().to(device)
    image = torch.randn(batch, in_channels, *size, device=device)
    autocast = torch.autocast(image.device.type, _DTYPES.get(precision), enabled=precision != "fp32")
    with torch.inference_mode(), autocast:
        _timed(network, image)
        times = [_timed(network, image) for _ in range(repeats)]
        memory = torch.cuda.max_memory_allocated(image.device) / 2**20 if image.is_cuda else peak_memory_mib() - before
        with FlopCounterMode(display=False) as counter:
            network(image)
    latency = statistics.median(times)
    counts = [(parameter.numel(), parameter.requires_grad) for parameter in network.parameters()]
    return Profile(
        name=name,
        parameters=sum(number for number, _ in counts),
        trainable=sum(number for number, learns in counts if learns),
        gflops=counter.get_total_flops() / batch / 1e9,
        latency_ms=1000 * latency,
        throughput=batch / latency,
        memory_mib=memory,
    )


_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def _timed(network: torch.nn.Module, image: Tensor) -> float:
    start = time.perf_counter()
    network(image)
    if image.is_cuda:
        torch.cuda.synchronize(image.device)
    return time.perf_counter() - start
