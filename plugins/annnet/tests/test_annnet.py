from __future__ import annotations

import torch

from spine_ignite.models import create_model
from spine_ignite.registry import load_registry


def test_annnet_is_ann_and_says_so() -> None:
    spec = load_registry().find("annnet").value
    assert "ann" in spec.summary.replace(",", "").split()
    assert spec.aux_align_corners is load_registry().find("ann").value.aux_align_corners
    torch.manual_seed(0)
    alias = create_model("annnet", 1, 3, backbone="resnet18", channels=16).eval()
    network = create_model("ann", 1, 3, backbone="resnet18", channels=16).eval()
    network.load_state_dict(alias.state_dict())
    x = torch.randn(1, 1, 64, 72)
    with torch.inference_mode():
        assert torch.equal(alias(x), network(x))
