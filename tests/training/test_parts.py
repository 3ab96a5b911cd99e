from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from spine_ignite.errors import UsageError
from spine_ignite.labels import load_scheme
from spine_ignite.models import create_model, list_models
from spine_ignite.runs.description import Description
from spine_ignite.training.parts import Parts, freeze, parts_of

ROOT = Path("run")


def parts(model: str, **options: Any) -> tuple[nn.Module, Parts]:
    scheme = load_scheme("lumbar-vertebrae")
    description = Description(model, options, 1, scheme, (1.0, 1.0), (0.5, 99.5), 0, (64, 64))
    with torch.device("meta"):
        network = create_model(model, 1, scheme.num_classes, **options)
    return network, parts_of(network, description, ROOT)


@pytest.mark.parametrize("model", [spec.name for spec in list_models()])
def test_every_architecture_has_an_encoder_and_a_head_that_are_apart(model: str) -> None:
    _, found = parts(model)
    encoder, head = found.find("encoder", "key"), found.find("head", "key")
    assert not encoder & head
    assert {*encoder, *head} <= {*found.names}
    assert not any("network." in name for name in head), "names are the architecture's, also where the core pads"


def test_of_several_parts_the_smallest_counts() -> None:
    names = ["encoder.stem.weight", "encoder.stem.bias", "encoder.stage.weight", "decoder.weight", "decoder.out.weight"]
    found = Parts.by_names(names, head=["decoder.out"])
    factors = found.factors({"*": 5, "encoder": 0.1, "encoder.stem": 0.2, "*.bias": 3, "decoder": 4, "head": 2}, "key")
    assert factors == {
        "encoder.stem.weight": 0.2,
        "encoder.stem.bias": 3,
        "encoder.stage.weight": 0.1,
        "decoder.weight": 4,
        "decoder.out.weight": 2,
    }


def test_what_is_frozen_needs_no_gradient_and_its_modules_are_named() -> None:
    network, found = parts("unet", width=4, depth=2)
    modules = freeze(network, found, ["encoder", "decoder.0.0.*"])
    trained = {name.partition(".")[0] for name, p in network.named_parameters() if p.requires_grad}
    assert trained == {"up", "decoder", "head"}
    assert modules == [network.encoder, network.decoder[0][0]]  # type: ignore[index]
    network, found = parts("espnet")
    assert freeze(network, found, ["encoder.*"]) == [network.network.encoder]  # type: ignore[union-attr]


def test_nonsense_is_refused_with_a_sentence() -> None:
    network, found = parts("unet", width=4, depth=2)
    assert freeze(network, found, []) == []
    with pytest.raises(
        UsageError, match=r"train\.freeze: .* no part 'encodr'\. Did you mean 'encoder'\? Parts: decoder"
    ):
        freeze(network, found, ["encodr"])
    with pytest.raises(UsageError, match=r"train\.freeze=\['\*'\] leaves nothing of the network to train; freeze less"):
        freeze(network, found, ["*"])
