"""What the network of a run costs: parameters, FLOPs, latency; measured once and kept beside its evaluation."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from spine_ignite.config import load_config
from spine_ignite.errors import RunError
from spine_ignite.files import guard, write_text
from spine_ignite.registry import load_registry
from spine_ignite.runs.directory import RunDirectory
from spine_ignite.runs.provenance import as_recorded

REPEATS = 10  # timed passes, of which the median is taken


@dataclass(frozen=True, slots=True)
class Cost:
    """Cost of a network for one slice at its run's own input size.

    Args:
        parameters: all parameters.
        gflops: floating-point operations of a forward pass, in 10^9, or None if not measured.
        latency_ms: median time of a forward pass, in ms, or None.
        setting: what defines ``gflops`` and ``latency_ms`` besides the network: ``size``, ``device``, ``precision`` …;
            empty if not measured.
    """

    parameters: int
    gflops: float | None
    latency_ms: float | None
    setting: dict[str, Any]


def run_cost(directory: RunDirectory, classes: int, device: str | None = "cpu") -> Cost:
    """Return what a run's network costs, from ``evaluation/cost.json`` where that was measured for the same.

    Args:
        directory: the run.
        classes: its classes, background included.
        device: where to measure; None counts the parameters alone.

    Raises:
        SpineIgniteError: the architecture is not installed, or cannot be measured here.
    """
    with as_recorded(directory):
        return _run_cost(directory, classes, device)


def _run_cost(directory: RunDirectory, classes: int, device: str | None) -> Cost:
    network = _network(directory, classes)
    setting = _setting(directory, device) if device is not None else {}
    cached = _read(directory.evaluation / "cost.json")
    known = cached.get("network") == network
    if known and device is None:
        return Cost(cached["parameters"], None, None, {})
    if known and cached.get("setting") == setting:
        return Cost(cached["parameters"], cached["gflops"], cached["latency_ms"], setting)
    if device is None:
        return Cost(_count_parameters(network), None, None, {})
    from spine_ignite.profiling import profile_model

    profile = profile_model(
        network["model"],
        network["options"],
        size=tuple(setting["size"]),
        in_channels=network["in_channels"],
        classes=classes,
        device=device,
        precision=setting["precision"],
        repeats=REPEATS,
    )
    cost = Cost(profile.parameters, profile.gflops, profile.latency_ms, setting)
    record = {
        "network": network,
        "parameters": cost.parameters,
        "setting": setting,
        "gflops": cost.gflops,
        "latency_ms": cost.latency_ms,
    }
    guard(directory.root)
    with suppress(RunError):  # a run that cannot be written to is measured again next time
        write_text(directory.evaluation / "cost.json", json.dumps(record, indent=2) + "\n")
    return cost


def _network(directory: RunDirectory, classes: int) -> dict[str, Any]:
    """What defines the network; where its training started from does not."""
    config = load_config(directory.config)
    registry = load_registry()
    plugin = registry.find(config.model.name).distribution
    options = registry.resolve_options(config.model.name, config.model.options).model_dump(mode="json")
    start = {"pretrained": False, "weights": None}
    return {
        "model": config.model.name,
        "plugin": str(plugin),
        "options": {name: start.get(name, value) for name, value in options.items()},
        "in_channels": config.data.channels,
        "classes": classes,
    }


def _setting(directory: RunDirectory, device: str) -> dict[str, Any]:
    """What defines FLOPs and latency of a network: the slice, the machine, torch."""
    data = load_config(directory.config).data
    size = data.patch.size if data.sampling == "patches" else data.size
    if size is None:
        raise RunError(f"{directory.config} has no data.size, so the size of its slices is not known")
    return {
        "size": list(size),
        "device": _machine(device),
        "precision": "fp32",
        "torch": metadata.version("torch"),
    }


def _machine(device: str) -> str:
    """Name the processor and its threads, or the GPU: latency means nothing without."""
    import torch

    from spine_ignite.machine.precision import choose_device

    place = choose_device(device)
    if place.type == "cuda":
        return str(torch.cuda.get_device_name(place))
    if place.type != "cpu":
        return place.type
    threads = torch.get_num_threads()
    return f"{_processor()}, {threads} thread{'s' if threads > 1 else ''}"


def _processor() -> str:
    import platform

    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine() or "CPU"


def _count_parameters(network: dict[str, Any]) -> int:
    """Build the network without memory and count."""
    import torch

    from spine_ignite.models import create_model

    with torch.device("meta"):
        built = create_model(network["model"], network["in_channels"], network["classes"], **network["options"])
    return sum(parameter.numel() for parameter in built.parameters())


def _read(path: Path) -> dict[str, Any]:
    """The former measurement; empty if there is none or it is damaged, in which case it is measured again."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    expected = {"network": dict, "parameters": int, "setting": dict, "gflops": float, "latency_ms": float}
    fits = isinstance(record, dict) and all(type(record.get(name)) is kind for name, kind in expected.items())
    return record if fits else {}
