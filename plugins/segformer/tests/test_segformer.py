from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spine_ignite.errors import RunError, UsageError
from spine_ignite.models import create_model
from spine_ignite.testing import ModelConformance, assert_agrees
from spine_ignite_segformer.encoder import Block, MixFFN, ReducedAttention


class TestSegFormer(ModelConformance):
    model = "segformer"
    options: ClassVar[dict[str, Any]] = {"decoder_width": 64}


SIZES: dict[str, tuple[tuple[int, ...], tuple[int, ...], int]] = {
    "b0": ((32, 64, 160, 256), (2, 2, 2, 2), 256),
    "b1": ((64, 128, 320, 512), (2, 2, 2, 2), 256),
    "b2": ((64, 128, 320, 512), (3, 4, 6, 3), 768),
    "b3": ((64, 128, 320, 512), (3, 4, 18, 3), 768),
    "b4": ((64, 128, 320, 512), (3, 8, 27, 3), 768),
    "b5": ((64, 128, 320, 512), (3, 6, 40, 3), 768),
}


def from_the_layers(in_channels: int, classes: int, variant: str) -> int:
    """Tables 1 and 6 of the paper: patches, blocks and norms of four levels, and the decoder."""
    widths, depths, decoder = SIZES[variant]
    total, before = 0, in_channels
    for width, depth, kernel, reduction in zip(widths, depths, (7, 3, 3, 3), (8, 4, 2, 1), strict=True):
        total += before * width * kernel**2 + width + 2 * width
        block = 2 * 2 * width + 4 * (width + 1) * width
        block += (width * width * reduction**2 + width + 2 * width) if reduction > 1 else 0
        block += (width + 1) * 4 * width + 4 * width * 10 + (4 * width + 1) * width
        total += depth * block + 2 * width
        before = width
    total += sum((width + 1) * decoder for width in widths) + 4 * decoder * decoder + 2 * decoder
    return total + (decoder + 1) * classes


def count(in_channels: int, classes: int, variant: str) -> int:
    with torch.device("meta"):
        network = create_model("segformer", in_channels, classes, variant=variant)
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize(
    ("variant", "ade", "spine"),
    [
        ("b0", 3.753, 3.716),
        ("b1", 13.716, 13.676),
        ("b2", 27.462, 27.356),
        ("b3", 47.338, 47.232),
        ("b4", 64.108, 64.002),
        ("b5", 84.709, 84.602),
    ],
)
def test_the_variants_have_the_official_sizes(variant: str, ade: float, spine: float) -> None:
    """Three channels and 150 classes (Xie et al. 2021, table 1; NVlabs/SegFormer 65fa8cf); one channel and 20."""
    for in_channels, classes, millions in ((3, 150, ade), (1, 20, spine)):
        found = count(in_channels, classes, variant)
        assert found == from_the_layers(in_channels, classes, variant)
        assert found / 1e6 == pytest.approx(millions, abs=6e-4)


class OnGrid(nn.Module):
    """A part that takes tokens, called with a grid."""

    def __init__(self, part: nn.Module) -> None:
        super().__init__()
        self.part = part

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.part(x.flatten(2).transpose(1, 2), *x.shape[2:])
        return tokens.transpose(1, 2).reshape(x.shape)


@pytest.mark.parametrize("reduction", [1, 2])
def test_attention_is_its_formula(reduction: int) -> None:
    part = ReducedAttention(6, 2, reduction)

    def reference(x: Tensor) -> Tensor:
        tokens = x.flatten(2).transpose(1, 2)
        source = tokens
        if reduction > 1:
            squares = x.unflatten(3, (-1, 2)).unflatten(2, (-1, 2))
            coarse = torch.einsum("bchiwj,ocij->bhwo", squares, part.sr.weight) + part.sr.bias
            source = F.layer_norm(coarse.flatten(1, 2), (6,), part.norm.weight, part.norm.bias)
        query = tokens @ part.q.weight.T + part.q.bias
        both = source @ part.kv.weight.T + part.kv.bias
        heads = []
        for head in (slice(0, 3), slice(3, 6)):
            key, value = both[..., :6][..., head], both[..., 6:][..., head]
            logits = query[..., head] @ key.transpose(1, 2) / 3**0.5
            heads.append((logits.exp() / logits.exp().sum(-1, keepdim=True)) @ value)
        out = torch.cat(heads, -1) @ part.proj.weight.T + part.proj.bias
        return out.transpose(1, 2).reshape(x.shape)

    assert_agrees(OnGrid(part), reference, torch.randn(2, 6, 4, 6))


def test_mix_ffn_is_its_formula() -> None:
    part = MixFFN(3)

    def reference(x: Tensor) -> Tensor:
        hidden = torch.einsum("bchw,oc->bohw", x, part.fc1.weight) + part.fc1.bias.view(1, -1, 1, 1)
        conv = part.dwconv["dwconv"]
        padded = F.pad(hidden, (1, 1, 1, 1))
        mixed = conv.bias.view(1, -1, 1, 1)
        for i in range(3):
            for j in range(3):
                window = padded[:, :, i : i + x.shape[2], j : j + x.shape[3]]
                mixed = mixed + window * conv.weight[:, 0, i, j].view(1, -1, 1, 1)
        active = mixed * 0.5 * (1 + torch.erf(mixed / 2**0.5))
        return torch.einsum("bchw,oc->bohw", active, part.fc2.weight) + part.fc2.bias.view(1, -1, 1, 1)

    assert_agrees(OnGrid(part), reference, torch.randn(2, 3, 4, 5))


@pytest.mark.parametrize("trained", [True, False])
@pytest.mark.parametrize("channels", [1, 2, 5])
def test_the_release_s_weights_are_loaded_by_key(tmp_path: Path, trained: bool, channels: int) -> None:
    """Grey slices give what the same picture gave in three channels."""
    colour = create_model("segformer", 3, 2, decoder_width=16).eval()
    weights: dict[str, Any] = colour.encoder.state_dict()
    if trained:
        weights = {f"backbone.{key}": value for key, value in weights.items()}
        weights = {"meta": {"epoch": 3}, "state_dict": {**weights, "decode_head.linear_pred.bias": torch.zeros(150)}}
    else:
        weights["head.weight"] = torch.zeros(1000, 256)
    torch.save(weights, tmp_path / "mit_b0.pth")
    network = create_model("segformer", channels, 2, decoder_width=16, weights=str(tmp_path / "mit_b0.pth")).eval()
    grey = torch.randn(1, 1, 64, 64)
    with torch.inference_mode():
        expected = colour.encoder(grey.expand(-1, 3, -1, -1))
        found = network.encoder(grey.expand(-1, channels, -1, -1))
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


def test_the_encoder_has_the_release_s_names() -> None:
    """Names as the authors' files have them."""
    with torch.device("meta"):
        encoder = create_model("segformer", 3, 2).encoder
    names = set(encoder.state_dict())
    linear = ["norm1", "attn.q", "attn.kv", "attn.proj", "norm2", "mlp.fc1", "mlp.dwconv.dwconv", "mlp.fc2"]
    reduced = [*linear, "attn.sr", "attn.norm"]
    parts = [f"patch_embed{level}.{part}" for level in range(1, 5) for part in ("proj", "norm")]
    parts += [f"norm{level}" for level in range(1, 5)]
    for level in range(1, 5):
        parts += [f"block{level}.{block}.{part}" for block in (0, 1) for part in (reduced if level < 4 else linear)]
    assert names == {f"{part}.{kind}" for part in parts for kind in ("weight", "bias")}


def test_weights_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    weights = create_model("segformer", 3, 2).encoder.state_dict()
    torch.save(weights, tmp_path / "b0.pth")
    torch.save({"patch_embed1.proj.weight": 3}, tmp_path / "number.pth")
    torch.save({f"encoder.{key}": value for key, value in weights.items()}, tmp_path / "names.pth")
    (tmp_path / "text.pth").write_text("no weights")

    def build(variant: str, name: str) -> None:
        create_model("segformer", 1, 2, variant=variant, weights=str(tmp_path / name))

    with pytest.raises(
        RunError,
        match=r"patch_embed1.proj.weight has shape \(32, 1, 7, 7\) instead of \(64, 1, 7, 7\); .* set model.variant",
    ):
        build("b1", "b0.pth")
    with pytest.raises(RunError, match=r"patch_embed1.proj.weight is missing; .*; and .* more"):
        build("b0", "names.pth")
    with pytest.raises(RunError, match="holds no dictionary of weights"):
        build("b0", "number.pth")
    with pytest.raises(RunError, match="cannot be read as weights"):
        build("b0", "text.pth")
    with pytest.raises(UsageError, match="is not a file"):
        build("b0", "none.pth")


def test_drop_path_leaves_out_whole_branches_in_training_only() -> None:
    block = Block(8, 2, 1, drop_path=0.5)
    tokens = torch.randn(64, 4, 8)
    with torch.no_grad():
        block.mlp.fc2.weight.zero_()
        block.mlp.fc2.bias.zero_()  # the branch of the attention is left
        full = block.eval()(tokens, 2, 2) - tokens
        branch = block.train()(tokens, 2, 2) - tokens
    kept = branch.flatten(1).norm(dim=1) > 1e-6
    assert 10 < int(kept.sum()) < 54
    torch.testing.assert_close(branch[kept], 2 * full[kept])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"variant": "b6"}, "variant: input should be 'b0', 'b1', 'b2', 'b3', 'b4' or 'b5'"),
        ({"drop_path": 1}, "drop_path: input should be less than 1"),
        ({"varient": "b0"}, "Did you mean 'variant'?"),
    ],
)
def test_nonsense_is_refused_with_a_sentence(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        create_model("segformer", 1, 2, **options)
    assert message in str(caught.value)
