"""``spine-ignite profile``."""

from __future__ import annotations

import dataclasses

import click

from spine_ignite.cli.options import echo_json, json_option, print_table, progress_bar


@click.command(epilog="\b\nExample:\n  spine-ignite profile ccnet pspnet --size 352 352 --set backbone=resnet50s")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option(
    "--size", default=(224, 224), nargs=2, type=click.IntRange(min=32), show_default=True, help="Rows, columns."
)
@click.option("--batch", default=1, type=click.IntRange(min=1), show_default=True, help="Slices in a forward pass.")
@click.option("--in-channels", default=1, type=click.IntRange(min=1), show_default=True, help="Input channels.")
@click.option("--classes", default=20, type=click.IntRange(min=2), show_default=True, help="Classes.")
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda, cuda:1 …")
@click.option("--precision", default="fp32", type=click.Choice(["fp32", "bf16", "fp16"]), show_default=True)
@click.option("--repeats", default=10, type=click.IntRange(min=1), show_default=True, help="Timed passes.")
@click.option("--set", "overrides", multiple=True, metavar="OPTION=VALUE", help="An option of all; may be repeated.")
@json_option
def command(
    names: tuple[str, ...],
    size: tuple[int, int],
    batch: int,
    in_channels: int,
    classes: int,
    device: str,
    precision: str,
    repeats: int,
    overrides: tuple[str, ...],
    as_json: bool,
) -> None:
    """Measure parameters, FLOPs, latency, throughput and peak memory of the architectures NAME... in eval mode."""
    from spine_ignite.config import load_config
    from spine_ignite.machine.precision import choose_device
    from spine_ignite.profiling import profile_model
    from spine_ignite.registry import load_registry

    registry = load_registry()
    chosen = load_config(None, [f"model.{text}" for text in overrides]).model.options
    for name in names:
        registry.resolve_options(name, chosen)  # every mistake before the first measurement
    place = str(choose_device(device))
    profiles = [
        profile_model(
            name, chosen, size=size, batch=batch, in_channels=in_channels, classes=classes, device=place,
            precision=precision, repeats=repeats,
        )
        for name in progress_bar(names, "Profiling")
    ]  # fmt: skip
    if as_json:
        echo_json([dataclasses.asdict(profile) for profile in profiles])
        return
    rows = [
        [
            profile.name,
            f"{profile.parameters / 1e6:.3f}",
            f"{profile.gflops:.2f}",
            f"{profile.latency_ms:.1f}",
            f"{profile.throughput:.1f}",
            f"{profile.memory_mib:.0f}",
        ]
        for profile in profiles
    ]
    title = (
        f"Batch of {batch} at {size[0]} x {size[1]}, {in_channels} channels, {classes} classes, {place}, {precision}"
    )
    print_table(title, ["model", "M parameters", "GFLOPs", "latency ms", "slices/s", "memory MiB"], rows)
