"""Whether inputs that are no lumbar spine as trained are asked about, and how many familiar ones are.

A network predicts thirty foreign inputs (:mod:`foreign_shapes`). Each is held against laws that need no known cases
(``inference/levels/impossible.py``) and, by its traits, against phantoms that the network has not seen
(``familiarity.py``). It would be accepted if its posterior is at least ``--posterior`` and nothing speaks against it.
The same is asked of other unseen phantoms, and of real cases beside other real cases of their folder, which the network
must not have seen either.

    python benchmarks/foreign_inputs.py ready T1 T2 --known 100 --held-out 100 --out foreign.json --sheet foreign.jpg
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import transfer
from foreign_shapes import foreign_inputs
from matplotlib.figure import Figure
from numpy.typing import NDArray
from processes import write_json

from spine_ignite.files import write_atomically
from spine_ignite.inference.levels.familiarity import Familiarity
from spine_ignite.inference.levels.impossible import impossible
from spine_ignite.inference.options import InferenceOptions
from spine_ignite.inference.predictor import Predictor, load_predictor
from spine_ignite.phantom import PhantomOptions, make_phantom
from spine_ignite.volumes.volume import Volume, read_image

_SEED = 20_261  # of phantoms that no network is trained on


def main() -> None:
    """Predict, judge, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("folders", type=Path, nargs="*", help="folders with train/ and test/ that it has not seen")
    parser.add_argument("--known", type=int, default=100, help="phantoms that others are held against")
    parser.add_argument("--held-out", type=int, default=100, help="further phantoms")
    parser.add_argument("--view", default="lumbar", choices=("lumbar", "any"), help="of the phantoms")
    parser.add_argument("--posterior", type=float, default=0.9, help="from which a column would be accepted")
    parser.add_argument("--rows", type=Path, help="keep what was predicted here, and begin with that")
    parser.add_argument("--sheet", type=Path, help="write a picture of the foreign inputs")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    predictor = load_predictor(Path(options.run), InferenceOptions(postprocess=("levels",), device="cpu"))
    kept: dict[str, Any] = json.loads(options.rows.read_text()) if options.rows and options.rows.is_file() else {}
    phantoms = []
    for number in range(options.known + options.held_out):
        drawn = f"phantom {options.view} {number}"
        if drawn not in kept:
            varied = PhantomOptions("mixed", options.view, 1.0, "spine")
            phantom = make_phantom(_SEED, 1, number, options=varied)
            kept[drawn] = look(predictor, Volume(phantom.image, phantom.affine, Path(drawn)))
            write_json(options.rows, kept)
        phantoms.append(kept[drawn])
    known = Familiarity.fit([row["traits"] for row in phantoms[: options.known]])
    results: dict[str, Any] = {"foreign": foreign(predictor, known, kept, options)}
    results["phantoms"] = familiar("further phantoms", phantoms[options.known :], [known] * options.held_out)
    for folder in options.folders:
        rows = []
        for case in real(folder):
            if str(case) not in kept:
                kept[str(case)] = look(predictor, read_image(case))
                write_json(options.rows, kept)
            rows.append(kept[str(case)])
        others = [[other["traits"] for other in rows if other is not row] for row in rows]
        results[folder.name] = familiar(f"{folder.name}, beside the others", rows, [Familiarity.fit(o) for o in others])
        results[f"{folder.name}, beside phantoms"] = familiar(
            f"{folder.name}, beside phantoms", rows, [known] * len(rows)
        )
    write_json(options.out, results)


def look(predictor: Predictor, volume: Volume) -> dict[str, Any]:
    """Predict a volume, and return what speaks for and against its column."""
    found = predictor.segment(volume)
    assert found.column is not None  # the step levels gives one, with or without pieces
    column = found.column
    return {
        "vertebrae": len(column.found.vertebrae) if column.posterior is not None else 0,
        "posterior": column.probability,
        "laws": impossible(column),
        "traits": dict(found.traits),
    }


def foreign(
    predictor: Predictor, known: Familiarity, kept: dict[str, Any], options: argparse.Namespace
) -> list[dict[str, Any]]:
    """Print a row for each foreign input."""
    rows, pictures = [], []
    print("| input | vertebrae found | posterior | by laws | by traits | verdict |")
    print("| --- | ---: | ---: | --- | --- | --- |")
    for name, image, affine in foreign_inputs():
        if name not in kept:
            kept[name] = look(predictor, Volume(image, affine, Path(name)))
            write_json(options.rows, kept)
        row = {"name": name, **kept[name]}
        row["unlike"] = known.reasons(row["traits"])
        row["accepted"] = row["posterior"] >= options.posterior and not row["laws"] and not row["unlike"]
        rows.append(row)
        pictures.append((name, image[len(image) // 2], affine))
        verdict = "ACCEPTED" if row["accepted"] else "ask"
        laws, unlike = (told[0] if told else "" for told in (row["laws"], row["unlike"]))
        print(f"| {name} | {row['vertebrae']} | {row['posterior']:.3f} | {laws} | {unlike} | {verdict} |", flush=True)
    sure = [row for row in rows if row["posterior"] >= options.posterior]
    print(
        f"\n{len(rows)} inputs; {sum(r['vertebrae'] > 0 for r in rows)} with a column, {len(sure)} with a posterior of "
        f"{options.posterior:g} or more, {sum(r['accepted'] for r in rows)} accepted; with a column and told by laws "
        f"{sum(bool(r['laws']) for r in rows if r['vertebrae'])}, by traits {sum(bool(r['unlike']) for r in rows)}\n"
    )
    if options.sheet:
        draw(pictures, options.sheet)
    return rows


def familiar(of: str, rows: Sequence[dict[str, Any]], known: Sequence[Familiarity]) -> dict[str, Any]:
    """Print how many of some cases are told to be unlike others, and why."""
    seen = [(row, beside) for row, beside in zip(rows, known, strict=True) if row["vertebrae"]]
    told = [beside.reasons(row["traits"]) for row, beside in seen]
    laws = [row["laws"] for row, _ in seen if row["laws"]]
    unlike = sum(map(bool, told))
    print(
        f"{of}: {len(rows)} cases, {len(seen)} with a column; {unlike} unlike "
        f"({100 * unlike / max(1, len(seen)):.1f} %), {len(laws)} against a law"
    )
    for reason in [reason for reasons in (*told, *laws) for reason in reasons]:
        print(f"  {reason}")
    return {"cases": len(rows), "columns": len(seen), "unlike": told, "laws": laws}


def real(folder: Path) -> Iterator[Path]:
    """Yield the images of a folder, each once however often it is there."""
    seen: set[str] = set()
    for image, _ in transfer.pairs(folder, "both"):
        if (voxels := transfer.digest(image)) not in seen:
            seen.add(voxels)
            yield image


def draw(pictures: Sequence[tuple[str, NDArray[np.float32], NDArray[np.float64]]], path: Path) -> None:
    """Draw the middle slices in one sheet."""
    figure = Figure(figsize=(20, 14))
    for place, (name, plane, affine) in enumerate(pictures, 1):
        axes = figure.add_subplot(4, 8, place)
        rows, columns = np.linalg.norm(affine[:3, 1:3], axis=0)
        axes.imshow(plane, cmap="gray", aspect=float(rows / columns))
        axes.set_title(name, fontsize=8)
        axes.set_axis_off()
    with write_atomically(path) as temporary:
        figure.savefig(temporary, dpi=60, bbox_inches="tight")


if __name__ == "__main__":
    main()
