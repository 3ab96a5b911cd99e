from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spine_ignite.errors import RunError, UsageError
from spine_ignite.inference.export_onnx import to_onnx
from spine_ignite.models import create_model
from spine_ignite.nn.timm_import import import_timm
from spine_ignite.runs.onnx_file import OnnxNetwork
from spine_ignite.testing import ModelConformance, assert_agrees, randomise
from spine_ignite_transunet.encoder import HybridEncoder
from spine_ignite_transunet.model import CascadedUpsampler


class TestTransUNet(ModelConformance):
    model = "transunet"
    learn_rate = 1e-3
    options: ClassVar[dict[str, Any]] = {"layers": 1, "width": 48, "heads": 3}


# Counted from Beckschen/TransUNet 02ef001, R50-ViT-B_16 at 224: three channels (the authors repeat single ones).
@pytest.mark.parametrize(("classes", "millions"), [(9, 105.277), (20, 105.279)])
def test_the_authors_network_has_its_size(classes: int, millions: float) -> None:
    cnn = 11_894_848
    transformer = 12 * (4 * 768 * 768 + 4 * 768 + 8 * 768 * 768 + 5 * 768 + 4 * 768) + 2 * 768
    embedding = 1024 * 768 + 768 + 196 * 768
    decoder = 9 * 768 * 512 + 2 * 512
    for inputs, width in ((512 + 512, 256), (256 + 256, 128), (128 + 64, 64), (64, 16)):
        decoder += 9 * inputs * width + 9 * width * width + 4 * width
    head = 9 * 16 * classes + classes
    with torch.device("meta"):
        network = create_model("transunet", 3, classes)
        single = create_model("transunet", 1, classes)
    total = sum(p.numel() for p in network.parameters())
    assert total == cnn + transformer + embedding + decoder + head
    assert total / 1e6 == pytest.approx(millions, abs=6e-4)
    assert sum(p.numel() for p in single.parameters()) == total - 2 * 64 * 49  # timm adapts the first convolution


def test_the_encoder_is_timm_s_without_class_token() -> None:
    """On 224 x 224, where the position embedding fits, the tokens are those of timm's blocks on the same embedding."""
    timm = import_timm()
    shape = {"depth": 1, "embed_dim": 48, "num_heads": 3}
    model = timm.create_model("vit_base_r50_s16_224", in_chans=1, num_classes=0, **shape).eval()
    encoder = HybridEncoder(1, False, None, 1, 48, 3, 0.1).eval()
    parts = [("stem.0", model.patch_embed.backbone.stem.conv), ("stem.1", model.patch_embed.backbone.stem.norm)]
    parts += [("stages", model.patch_embed.backbone.stages), ("embed", model.patch_embed.proj)]
    parts += [("blocks", model.blocks), ("norm", model.norm)]
    for name, source in parts:
        encoder.get_submodule(name).load_state_dict(source.state_dict())
    with torch.inference_mode():
        encoder.position.copy_(model.pos_embed[:, 1:])
        image = torch.randn(1, 1, 224, 224)
        found, skips = encoder(image)
        tokens = model.patch_embed(image) + model.pos_embed[:, 1:]
        expected = model.norm(model.blocks(tokens))
    torch.testing.assert_close(found.flatten(2).transpose(1, 2), expected, rtol=1e-4, atol=1e-4)
    assert [tuple(skip.shape[1:]) for skip in skips] == [(512, 28, 28), (256, 56, 56), (64, 112, 112)]


def test_the_resnet_s_constants_are_timm_s() -> None:
    """32 groups in every norm, also of the shortcuts; epsilons of 1e-5, and 1e-8 in the weight standardisation."""
    network = HybridEncoder(1, False, None, 1, 48, 3, 0.1)
    parts = [*network.stem.modules(), *network.stages.modules()]
    norms = [part for part in parts if isinstance(part, nn.GroupNorm)]
    assert len(norms) == 1 + 3 * (3 + 4 + 9) + 3
    assert {(norm.num_groups, norm.eps) for norm in norms} == {(32, 1e-5)}
    assert {part.eps for part in parts if isinstance(part, nn.Conv2d)} == {1e-8}


def test_dropout_acts_where_the_authors_have_it() -> None:
    """On the embedded tokens and twice in each MLP; their rate for attention is 0."""
    encoder = HybridEncoder(1, False, None, 2, 48, 3, 0.25)
    rates = {name: part.p for name, part in encoder.named_modules() if isinstance(part, nn.Dropout) and part.p > 0}
    expected = ["dropout", *(f"blocks.{layer}.mlp.drop{number}" for layer in (0, 1) for number in (1, 2))]
    assert rates == dict.fromkeys(expected, 0.25)


def test_the_decoder_is_its_formula() -> None:
    """3x3 to 512; four times: twice the size (corners aligned), the skip behind it, two 3x3; 3x3 to the classes."""
    decoder = CascadedUpsampler(6, (5, 4, 3), 2)

    class Flat(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.decoder = decoder

        def forward(self, x: Tensor, *skips: Tensor) -> Tensor:
            return self.decoder(x, skips)

    def plain(layer: Any, x: Tensor) -> Tensor:
        conv, norm, _ = layer
        x = F.conv2d(x, conv.weight, padding=1)
        scale = norm.weight / (norm.running_var + norm.eps) ** 0.5
        return ((x - norm.running_mean[:, None, None]) * scale[:, None, None] + norm.bias[:, None, None]).clamp_min(0)

    def doubling(length: int) -> Tensor:
        """Weights (2 n, n) of linear interpolation from the first pixel's centre to the last one's."""
        place = torch.linspace(0, length - 1, 2 * length, dtype=torch.float64)
        return (1 - (place[:, None] - torch.arange(length)).abs()).clamp_min(0)

    def reference(x: Tensor, *skips: Tensor) -> Tensor:
        x = plain(decoder.first, x)
        for step, skip in zip(decoder.steps, [*skips, None], strict=True):
            x = torch.einsum("bchw,ih,jw->bcij", x, doubling(x.shape[2]), doubling(x.shape[3]))
            x = x if skip is None else torch.cat([x, skip], 1)
            x = plain(step[1], plain(step[0], x))
        return F.conv2d(x, decoder.classify.weight, decoder.classify.bias, padding=1)

    skips = [torch.randn(1, channels, 2 * 2**n, 3 * 2**n) for n, channels in enumerate((5, 4, 3), 1)]
    assert_agrees(Flat(), reference, torch.randn(1, 6, 2, 3), *skips)


@pytest.mark.slow
def test_a_file_of_timm_s_weights_is_loaded(tmp_path: Path) -> None:
    """All but the class token and the classifier; the first filters are summed for one channel."""
    with torch.device("meta"):
        model = import_timm().create_model("vit_base_r50_s16_224")
    generator = torch.Generator().manual_seed(0)
    weights = {}
    for key, value in model.state_dict().items():  # half the precision is half the file
        dtype = torch.float32 if key.endswith("stem.conv.weight") else torch.bfloat16
        weights[key] = torch.randn(value.shape, generator=generator, dtype=dtype)
    torch.save(weights, tmp_path / "weights.pth")
    found = create_model("transunet", 1, 2, weights=str(tmp_path / "weights.pth")).network.encoder.state_dict()
    first = weights.pop("patch_embed.backbone.stem.conv.weight").sum(1, keepdim=True)
    assert torch.equal(found.pop("stem.0.weight"), first)
    assert torch.equal(found.pop("position"), weights.pop("pos_embed").float()[:, 1:])
    names = {"patch_embed.backbone.stem.norm": "stem.1", "patch_embed.backbone.": "", "patch_embed.proj": "embed"}
    for key, value in weights.items():
        if key == "cls_token" or key.startswith("head."):
            continue
        for theirs, ours in names.items():
            key = key.replace(theirs, ours)
        assert torch.equal(found.pop(key), value.float()), key
    assert not found


def test_positions_are_resampled_to_any_grid() -> None:
    encoder = HybridEncoder(1, False, None, 1, 48, 3, 0.0).eval()
    rows = torch.arange(14.0).view(1, 14, 1, 1).expand(1, 14, 14, 48)
    with torch.no_grad():
        encoder.position.copy_(rows.reshape(1, 196, 48))
    grid = encoder._position(28, 7).unflatten(1, (28, 7))
    torch.testing.assert_close(grid[:, :, 0], grid[:, :, -1])  # still the same along a row
    inside = grid[0, 4:-4, 0, 0]
    torch.testing.assert_close(inside, (torch.arange(28.0)[4:-4] + 0.5) / 2 - 0.5, rtol=0.02, atol=0.02)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(RunError, match=r"other\.pth does not hold weights of backbone 'vit_base_r50_s16_224'"):
        create_model("transunet", 1, 2, weights=str(tmp_path / "other.pth"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"heads": 5}, "width 768 cannot be split between 5 heads"),
        ({"layers": 2, "pretrained": True}, "weights exist for 12 layers"),
        ({"layer": 2}, "Did you mean 'layers'?"),
    ],
)
def test_nonsense_is_refused_with_a_sentence(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        create_model("transunet", 1, 2, **options)
    assert message in str(caught.value)


def test_an_exporter_comes_to_an_end_with_open_sizes(tmp_path: Path) -> None:
    network = randomise(create_model("transunet", 1, 3, layers=1, width=48, heads=3)).eval()
    file = tmp_path / "transunet.onnx"
    file.write_bytes(to_onnx(network, torch.randn(2, 1, 71, 117)).SerializeToString())
    batch = torch.randn(1, 1, 96, 64)
    with torch.inference_mode():
        torch.testing.assert_close(OnnxNetwork(file)(batch), network(batch), rtol=1e-3, atol=1e-4)
