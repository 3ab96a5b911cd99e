"""A cross-validation, and its verification, of exams of several contrasts."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np

from spine_ignite.config import load_config
from spine_ignite.crossval.cross_validate import cross_validate
from spine_ignite.verification.verify import verify


def test_each_exam_is_judged_by_the_fold_that_has_not_seen_it(two_contrasts: Path, tmp_path: Path) -> None:
    overrides = ["data.scheme=lumbar-vertebrae", "data.contrasts=[t1,t2]", "data.folds=2", "data.batch_size=4"]
    overrides += ["model.width=4", "model.depth=2", "train.epochs=1", "train.steps_per_epoch=2", "precision=fp32"]
    config = load_config(None, [f"data.root={two_contrasts}", *overrides, "log.tensorboard=false", "device=cpu"])
    out = tmp_path / "folds"
    cross_validate(config, out, pictures=1, echo=lambda _line: None)
    made = {path.stem: json.loads(path.read_text()) for path in (out / "out-of-fold").glob("Case?.json")}
    assert {name: list(record["contrasts"]) for name, record in made.items()} == {
        "Case1": ["t1", "t2"],
        "Case2": ["t1"],
        "Case3": ["t2"],
        "Case4": ["t1", "t2"],
        "Case5": ["t1", "t2"],
    }
    again = cross_validate(config, out, pictures=1, echo=lambda _line: None)
    assert again.directory == out
    findings = verify(out, again=["fold1"]).findings
    assert findings.fits, (findings.wrong, findings.unchecked)
    path = two_contrasts / "train" / "source" / "Case4_t2.nii.gz"
    image = nib.load(path)
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj) + 1, image.affine), path)
    wrong = [text for text in verify(out, quick=True).findings.wrong if "the image of Case4" in text]
    assert wrong
    assert all("is another file than was recorded" in text for text in wrong)
