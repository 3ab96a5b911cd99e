"""Memory of a prediction as volumes get longer: peak resident memory of a process that predicts one volume.

Volumes are phantoms with their slices repeated, the network is a UNet with 20 classes and random weights. The last
column is what the probabilities of all slices at once would take, in float32. Linux only.

    OMP_NUM_THREADS=1 python benchmarks/prediction_memory.py --out benchmarks/results/prediction_memory.json
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MIB = 2**20
MODES = {
    "labels": {},
    "labels, 5 views": {"tta": True},
    "labels, probabilities, uncertainty": {},
}


def write_run(folder: Path, width: int) -> Path:
    import torch

    from spine_ignite.config import dump_config, load_config
    from spine_ignite.labels import load_scheme
    from spine_ignite.models import create_model
    from spine_ignite.runs.description import Description

    config = load_config(None, [f"model.width={width}"])
    scheme = load_scheme(config.data.scheme)
    description = Description("unet", config.model.options, 1, scheme, (1.2, 1.2), (0.5, 99.5), 0, (64, 64))
    network = create_model("unet", 1, scheme.num_classes, **config.model.options)
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "config.yaml").write_text(dump_config(config))
    torch.save(
        {"model": network.state_dict(), "description": description.state_dict()}, folder / "checkpoints" / "best.pt"
    )
    return folder


def write_volume(path: Path, count: int) -> tuple[int, ...]:
    import nibabel as nib
    import numpy as np

    from spine_ignite.phantom import make_phantom
    from spine_ignite.volumes.geometry import sagittal_axis

    phantom = make_phantom(0, 0, 0, 16)
    axis = sagittal_axis(phantom.affine)
    fine = [1 if number == axis else 2 for number in range(3)]  # pixels of half a millimetre
    array = np.concatenate([np.kron(phantom.image, np.ones(fine, np.int16))] * (count // 16), axis)
    nib.save(nib.Nifti1Image(array, phantom.affine @ np.diag([*(1 / np.array(fine)), 1])), path)
    return array.shape


def predict_here(run: Path, image: Path, out: Path, mode: str) -> None:
    """Predict in this process, and print its peak memory in MiB and the seconds as JSON."""
    from spine_ignite import InferenceOptions
    from spine_ignite.inference.predict_files import Extras, predict

    wanted = "probabilities" in mode
    start = time.perf_counter()
    (result,) = predict(
        run,
        [(image, out)],
        options=InferenceOptions(device="cpu", precision="fp32", **MODES[mode]),
        extras=Extras(probabilities=wanted, uncertainty=wanted),
    )
    assert result.error is None, result.error
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert peak is not None
    print(json.dumps({"peak": int(peak[1]) * 1024 / MIB, "seconds": time.perf_counter() - start}))


def main() -> None:
    """Measure, print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slices", type=int, nargs="*", default=[16, 64, 256], help="multiples of 16")
    parser.add_argument("--width", type=int, default=8, help="of the UNet")
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        run, image, out, mode = options.child
        predict_here(Path(run), Path(image), Path(out), mode)
        return
    rows = []
    print("| slices | voxels | written | peak MiB | seconds | all probabilities at once, MiB |")
    print("| --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run = write_run(folder / "run", options.width)
        for count in options.slices:
            shape = write_volume(folder / f"{count}.nii.gz", count)
            voxels = shape[0] * shape[1] * shape[2]
            for mode in MODES:
                words = [run, folder / f"{count}.nii.gz", folder / "out" / "label.nii.gz", mode]
                child = [sys.executable, __file__, "--child", *map(str, words)]
                found = json.loads(subprocess.run(child, check=True, stdout=subprocess.PIPE, text=True).stdout)
                rows.append({"slices": count, "shape": shape, "mode": mode, "all": voxels * 20 * 4 / MIB, **found})
                size = " x ".join(map(str, shape))
                figures = f"{found['peak']:.0f} | {found['seconds']:.1f} | {rows[-1]['all']:.0f}"
                print(f"| {count} | {size} | {mode} | {figures} |", flush=True)
                if options.out:
                    options.out.parent.mkdir(parents=True, exist_ok=True)
                    options.out.write_text(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()
