"""Networks as ONNX files: the same logits in onnxruntime, for any size, and what is said about them."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from spine_ignite import cli
from spine_ignite.api.images import predict
from spine_ignite.errors import RunError, UsageError
from spine_ignite.inference import export_onnx
from spine_ignite.inference.export import export_run
from spine_ignite.inference.open_sizes import pool
from spine_ignite.inference.same_logits import RoundingError, compare
from spine_ignite.nn.unpooling import pool_with_indices, unpool
from spine_ignite.runs.checkpoints import load_network, read_weights

RunWriter = Callable[..., Path]
Install = Callable[..., Path]

LOOPS = """
from torch import nn
from spine_ignite.hookspecs import hookimpl
from spine_ignite.spec import ModelSpec, Paper


class Loops(nn.Module):
    '''Takes as many steps as the slice has blocks: an open width cannot be captured, a fixed one can.'''

    def __init__(self, in_channels, num_classes):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, num_classes, 3, padding=1)

    def forward(self, x):
        total = self.conv(x)
        for _ in range(x.shape[-1] // 32):
            total = total + 0.1 * self.conv(x)
        return total


class Decides(Loops):
    '''What it does depends on the numbers in the batch.'''

    def forward(self, x):
        return self.conv(x) if x.sum() > 0 else self.conv(-x)


class Hangs(Loops):
    '''Its sign is that of a wave of the mean, whose last digits are as the numbers are added up.'''

    def forward(self, x):
        return self.conv(x) * (1e9 * x.mean()).sin()


@hookimpl
def register_models(register):
    paper = Paper("None", "A. Cme", "none", 2026, "https://example.org", "none")
    register(ModelSpec("loops", f"{__name__}:Loops", "Loops", paper))
    register(ModelSpec("hangs", f"{__name__}:Hangs", "Hangs", paper))
    register(ModelSpec("decides", f"{__name__}:Decides", "Decides", paper))
"""


@pytest.fixture
def exported(tmp_path: Path, write_run: RunWriter) -> Path:
    return export_run(write_run(tmp_path / "run"), tmp_path / "unet.onnx", file_format="onnx").path


def small(path: Path, inputs: int = 1, outputs: int = 8) -> onnx.ModelProto:
    """An ONNX file that a convolution of another program could be."""
    shapes = [[None, channels, None, None] for channels in (inputs, outputs)]
    infos = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
        for name, shape in zip(("x", "y"), shapes, strict=True)
    ]
    weight = onnx.numpy_helper.from_array(np.ones((outputs, inputs, 1, 1), np.float32), "w")
    node = onnx.helper.make_node("Conv", ["x", "w"], ["y"])
    graph = onnx.helper.make_graph([node], "g", infos[:1], infos[1:], [weight])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, path)
    return model


@pytest.mark.parametrize("file_format", ["onnx", "torch-export"])
def test_a_program_does_not_say_where_its_code_lay(
    tmp_path: Path, write_run: RunWriter, file_format: Literal["onnx", "torch-export"]
) -> None:
    content = export_run(write_run(tmp_path / "run"), file_format=file_format).path.read_bytes()
    for module in (torch, cli):
        assert os.fsencode(Path(str(module.__file__)).parent) not in content
    assert os.fsencode(tmp_path) not in content


def test_onnxruntime_gives_the_logits_for_any_size_and_the_file_says_what_it_is(
    tmp_path: Path, tiny_dataset: Path, write_run: RunWriter
) -> None:
    run = write_run(tmp_path / "run", f"data.root={tiny_dataset}", "data.context_slices=1")
    (run / "postprocess.json").write_text(json.dumps({"steps": ["holes"]}))
    made = export_run(run, tmp_path / "unet.onnx", file_format="onnx", license_id="CC-BY-4.0")
    assert made.fixed is None
    assert made.compared.real
    assert made.compared.batches == ((3, 3, 64, 64), (1, 3, 141, 135))
    assert made.difference <= 1e-3 * made.compared.largest
    model = onnx.load(made.path)
    onnx.checker.check_model(model)
    for value, channels in ((model.graph.input[0], 3), (model.graph.output[0], 8)):
        sizes = [size.dim_param or size.dim_value for size in value.type.tensor_type.shape.dim]
        assert sizes == ["batch", channels, "height", "width"]
    assert model.producer_name == "spine-ignite"
    assert "1 x 1 mm, channels are a slice and its 1 neighbours" in model.doc_string
    (entry,) = model.metadata_props
    said = json.loads(entry.value)
    assert (entry.key, said["license"], said["description"]["spacing"]) == ("spine_ignite", "CC-BY-4.0", [1.0, 1.0])
    assert said["settings"]["predict"]["postprocess"] == ["holes"]
    session = onnxruntime.InferenceSession(str(made.path))
    network = load_network(run / "checkpoints" / "best.pt").network
    for shape in ((1, 3, 64, 64), (5, 3, 71, 118), (2, 3, 160, 65)):
        batch = torch.randn(shape)
        with torch.inference_mode():
            expected = network(batch).numpy()
        (found,) = session.run(None, {"image": batch.numpy()})
        np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


def test_it_predicts_in_the_place_of_its_run(tmp_path: Path, tiny_dataset: Path, write_run: RunWriter) -> None:
    run = write_run(tmp_path / "run", f"data.root={tiny_dataset}")
    file = export_run(run, tmp_path / "away" / "unet.onnx", file_format="onnx").path
    scan = tiny_dataset / "test/source/Case5.nii.gz"
    one, two = (np.asarray(predict(path, scan, device="cpu", precision="fp32").dataobj) for path in (run, file))
    assert (one != two).mean() < 1e-3
    assert len(np.unique(two)) > 2


def test_what_cannot_have_an_open_size_has_that_of_training_and_is_slid_over_larger_slices(
    tmp_path: Path, tiny_dataset: Path, write_run: RunWriter, install: Install
) -> None:
    install("acme-nets", LOOPS)
    run = write_run_of("loops", tmp_path, tiny_dataset, write_run)
    made = export_run(run, tmp_path / "loops.onnx", file_format="onnx")
    assert made.fixed is not None
    assert "what it would hold gives other logits" in made.fixed
    session = onnxruntime.InferenceSession(str(made.path))
    assert session.get_inputs()[0].shape[2:] == [64, 64]
    scan = tiny_dataset / "test/source/Case5.nii.gz"
    labels = np.asarray(predict(made.path, scan, device="cpu", precision="fp32").dataobj)
    windows = np.asarray(predict(run, scan, window=(64, 64), device="cpu", precision="fp32").dataobj)
    assert (labels != windows).mean() < 1e-3


def test_what_cannot_be_captured_is_told_and_leaves_nothing(
    tmp_path: Path, tiny_dataset: Path, write_run: RunWriter, install: Install
) -> None:
    install("acme-nets", LOOPS)
    run = write_run_of("decides", tmp_path, tiny_dataset, write_run)
    with pytest.raises(RunError, match="decides.onnx is not written: decides cannot be captured with an open batch: "):
        export_run(run, tmp_path / "decides.onnx", file_format="onnx")
    assert not (tmp_path / "decides.onnx").exists()


def test_a_network_that_hangs_on_rounding_is_refused_for_that_and_not_tried_at_fixed_sizes(
    tmp_path: Path, tiny_dataset: Path, write_run: RunWriter, install: Install
) -> None:
    install("acme-nets", LOOPS)
    run = write_run_of("hangs", tmp_path, tiny_dataset, write_run)
    with pytest.raises(RunError) as caught:
        export_run(run, tmp_path / "hangs.onnx", file_format="onnx")
    assert "hangs.onnx is not written: what it would hold gives other logits, by up to" in str(caught.value)
    assert "where its input changes by a millionth: it hangs on rounding" in str(caught.value)
    assert not (tmp_path / "hangs.onnx").exists()
    assert export_run(run, tmp_path / "hangs.safetensors").difference == 0


def test_other_logits_of_a_network_that_does_not_hang_on_rounding_are_told_as_such() -> None:
    network = torch.nn.Conv2d(1, 3, 3)
    with pytest.raises(RunError, match=r"gives other logits, by up to [0-9.e-]+$"):
        compare(network, lambda batch: 1.01 * network(batch), torch.randn(2, 1, 64, 64), 1e-3, Path("x.onnx"))


def test_unpooling_hangs_on_rounding_where_two_values_are_all_but_equal() -> None:
    """Of the four values of a window the largest is the largest by a ten-millionth."""

    def unpooled(x: torch.Tensor) -> torch.Tensor:
        pooled, places = pool_with_indices(x)
        return unpool(pooled, places, (x.shape[2], x.shape[3]))

    class Unpools(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return unpooled(x)

    batch = F.interpolate(torch.rand(1, 2, 32, 32) + 1, scale_factor=2)
    batch = batch + 2e-7 * torch.rand(batch.shape)
    other = batch + 2e-7 * torch.rand(batch.shape)
    with pytest.raises(RoundingError, match="as one does that puts values back where maxima were"):
        compare(Unpools(), lambda _: unpooled(other), batch, 1e-3, Path("segnet.onnx"))


def write_run_of(model: str, tmp_path: Path, data: Path, write_run: RunWriter) -> Path:
    """A run of a model without options."""
    run = write_run(tmp_path / "run", f"data.root={data}")
    from spine_ignite.models import create_model

    for file in (run / "checkpoints").iterdir():
        checkpoint = torch.load(file, weights_only=True)
        checkpoint["description"] |= {"model": model, "options": {}}
        checkpoint["model"] = create_model(model, 1, 8).state_dict()
        torch.save(checkpoint, file)
    return run


def test_other_logits_are_refused_and_the_former_file_stays(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = exported.read_bytes()
    monkeypatch.setattr(export_onnx, "TOLERANCE", -1.0)
    with pytest.raises(RunError, match="unet.onnx is not written: what it would hold gives other logits, by up to"):
        export_run(exported.parent / "run", exported, file_format="onnx")
    assert exported.read_bytes() == before
    assert sorted(path.name for path in exported.parent.iterdir()) == ["run", "unet.onnx"]


def test_files_of_others_and_damaged_ones_are_told_in_a_sentence(
    tmp_path: Path, exported: Path, capsys: pytest.CaptureFixture[str], write_volume: Callable[..., Path]
) -> None:
    scan = write_volume(tmp_path / "scan.nii.gz", np.random.default_rng(0).normal(size=(40, 50, 3)).astype(np.float32))
    small(tmp_path / "foreign.onnx")
    (tmp_path / "truncated.onnx").write_bytes(exported.read_bytes()[:5000])
    said = next(entry.value for entry in onnx.load(exported).metadata_props)
    for name, inputs, text in (
        ("channels", 3, said),
        ("words", 1, "{"),
        ("format", 1, said.replace('"format":1', '"format":9')),
    ):
        model = small(tmp_path / f"{name}.onnx", inputs)
        entry = model.metadata_props.add()
        entry.key, entry.value = "spine_ignite", text
        onnx.save(model, tmp_path / f"{name}.onnx")
    for name, sentence in (
        ("foreign", "has a network, but was not written by `spine-ignite export`"),
        ("truncated", "cannot be read by onnxruntime, it may be truncated or corrupt"),
        (
            "channels",
            "is not the network that it says it is: it maps ? x 3 x ? x ? and ? x 8 x ? x ?, not slices of 1 ",
        ),
        ("words", "is not an export of this version of spine-ignite"),
        ("format", "is not an export of this version of spine-ignite (format 1)"),
        ("none", "does not exist, or is not a file"),
    ):
        code = cli.run(["predict", str(tmp_path / f"{name}.onnx"), str(scan), "-o", str(tmp_path / "labels")])
        err = capsys.readouterr().err
        assert (code, sentence in err, len(err.splitlines())) == (1, True, 1), err
        assert f"{name}.onnx" in err
    assert not (tmp_path / "labels").exists()
    with pytest.raises(RunError, match="unet.onnx is a program, which no training can start from"):
        read_weights(exported)


def test_missing_packages_are_named_with_how_they_are_installed(
    tmp_path: Path, exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(RunError, match=r"pip install 'spine-ignite\[onnx\]'"):
        load_network(exported)
    with pytest.raises(RunError, match=r"new.onnx needs onnxruntime, which is not installed .*: pip install"):
        export_run(exported.parent / "run", tmp_path / "new.onnx", file_format="onnx")
    assert not (tmp_path / "new.onnx").exists()


def test_what_is_no_licence_is_refused(tmp_path: Path, write_run: RunWriter) -> None:
    with pytest.raises(UsageError, match="is no licence: give its SPDX identifier, such as MIT or CC-BY-4.0"):
        export_run(write_run(tmp_path / "run"), license_id="as you\nlike")


@given(
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    bins=st.one_of(st.integers(1, 9), st.tuples(st.integers(1, 9), st.one_of(st.none(), st.integers(1, 9)))),
)
@settings(max_examples=60)
def test_pooling_by_matrices_is_adaptive_pooling(size: tuple[int, int], bins: int | tuple[int, int | None]) -> None:
    image = torch.arange(2 * 3 * size[0] * size[1], dtype=torch.float64).sin().reshape(2, 3, *size)
    torch.testing.assert_close(pool(image, bins), F.adaptive_avg_pool2d(image, bins))
