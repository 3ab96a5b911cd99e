from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch

from spine_ignite.errors import RunError, UsageError
from spine_ignite.models import create_model
from spine_ignite.nn.timm_import import import_timm
from spine_ignite.testing import ModelConformance
from spine_ignite_transunet.encoder import HybridEncoder


class TestTransUNet(ModelConformance):
    model = "transunet"
    learn_rate = 1e-3
    options: ClassVar[dict[str, Any]] = {"layers": 1, "width": 48, "heads": 3}


# models.md, block 13: three channels (the authors repeat single ones), 9 and 20 classes.
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
