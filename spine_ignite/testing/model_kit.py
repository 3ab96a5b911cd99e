"""Everything that the core expects of an architecture."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spine_ignite.batches.phantom_slices import make_slices
from spine_ignite.losses.criterion import Criterion
from spine_ignite.losses.dice import SoftDice
from spine_ignite.losses.dice import dice_ce as dice_ce_loss
from spine_ignite.models import create_model
from spine_ignite.registry import load_registry
from spine_ignite.spec import ModelOutput
from spine_ignite.testing.blocks_agree import randomise

SIZES = ((64, 64), (65, 97), (96, 64), (71, 128), (160, 113), (224, 224), (352, 321))


class ModelConformance:
    """Base class of an architecture's conformance test.

    Attributes:
        model: the registered name.
        options: options of the network that is tested; a small one makes the kit fast.
        sizes: input sizes (H, W).
        learn_steps: steps within which four slices of phantoms are learnt.
        learn_rate: Adam's rate for that.
        float_tolerance: relative difference allowed between float32 and float64 logits.
        bfloat16_tolerance: the same between bfloat16 autocast and float32.
    """

    model: ClassVar[str]
    options: ClassVar[dict[str, Any]] = {}
    sizes: ClassVar[tuple[tuple[int, int], ...]] = SIZES
    learn_steps: ClassVar[int] = 150
    learn_rate: ClassVar[float] = 3e-3
    float_tolerance: ClassVar[float] = 1e-3
    bfloat16_tolerance: ClassVar[float] = 0.1

    @pytest.fixture(autouse=True)
    def _seed(self) -> Iterator[None]:
        state = torch.get_rng_state()
        torch.manual_seed(0)
        yield
        torch.set_rng_state(state)

    def build(self, in_channels: int = 1, num_classes: int = 4) -> nn.Module:
        """Build the network under test."""
        return create_model(self.model, in_channels, num_classes, **self.options)

    def test_declared_size(self) -> None:
        """The spec's number of parameters, if it says one, is that of the default network."""
        declared = load_registry().find(self.model).value.parameters
        if declared is not None:
            with torch.device("meta"):
                network = create_model(self.model, 1, 20)
            assert sum(p.numel() for p in network.parameters() if p.requires_grad) == declared

    def test_logits_have_the_input_size(self) -> None:
        """Eval mode gives a tensor of logits at the input's size, for odd, even and non-square sizes."""
        network = self.build().eval()
        with torch.inference_mode():
            for size in self.sizes:
                logits = network(torch.randn(1, 1, *size))
                assert isinstance(logits, Tensor), f"eval mode must return a tensor, got {type(logits).__name__}"
                assert logits.shape == (1, 4, *size), f"logits of {size} have shape {tuple(logits.shape)}"

    @pytest.mark.parametrize("channels", [1, 3, 5])
    @pytest.mark.parametrize("classes", [2, 20])
    def test_any_number_of_channels_and_classes(self, channels: int, classes: int) -> None:
        """One to five input channels, two to twenty classes."""
        network = self.build(channels, classes).eval()
        with torch.inference_mode():
            assert network(torch.randn(1, channels, 64, 64)).shape == (1, classes, 64, 64)

    def test_training_returns_logits_or_model_output(self) -> None:
        """Train mode gives logits or a ModelOutput whose parts have the right shapes."""
        output = self.build().train()(torch.randn(2, 1, 72, 64))
        logits = output.logits if isinstance(output, ModelOutput) else output
        assert isinstance(logits, Tensor)
        assert logits.shape == (2, 4, 72, 64)
        if isinstance(output, ModelOutput):
            for name, aux in output.aux.items():
                channels = 1 if aux.target == "edge" else 4
                shape = tuple(aux.logits.shape)
                assert shape[:2] == (2, channels), f"auxiliary logits '{name}' have shape {shape}"
                assert aux.weight > 0, f"auxiliary logits '{name}' have weight {aux.weight}"
            for name, penalty in output.penalties.items():
                assert penalty.ndim == 0, f"penalty '{name}' is not a scalar"

    def test_every_parameter_gets_a_finite_gradient(self) -> None:
        """No trainable parameter is unused (DistributedDataParallel would stop), none gets NaN."""
        network = self.build().train()
        _loss(network, torch.randn(2, 1, 64, 64), torch.randint(0, 4, (2, 64, 64))).backward()
        for name, parameter in network.named_parameters():
            if parameter.requires_grad:
                assert parameter.grad is not None, f"{name} is never used; freeze it or remove it"
                assert torch.isfinite(parameter.grad).all(), f"{name} has a gradient that is not finite"

    def test_trains_on_a_batch_of_one(self) -> None:
        """A batch of one slice, also at the smallest size, where maps shrink to a single pixel."""
        network = self.build().train()
        loss = _loss(network, torch.randn(1, 1, 64, 64), torch.randint(0, 4, (1, 64, 64)))
        loss.backward()
        assert torch.isfinite(loss)

    def test_bfloat16_autocast(self) -> None:
        """Under autocast the loss and gradients are finite and the logits close to float32's."""
        network = self.build().train()
        image, label = torch.randn(2, 1, 64, 64), torch.randint(0, 4, (2, 64, 64))
        with torch.autocast("cpu", torch.bfloat16):
            output = network(image)
        Criterion(dice_ce_loss(4))(output, label).total.backward()
        assert all(torch.isfinite(p.grad).all() for p in network.parameters() if p.grad is not None)
        network.eval()
        with torch.inference_mode():
            exact = network(image)
            with torch.autocast("cpu", torch.bfloat16):
                rounded = network(image).float()
        difference = (exact - rounded).norm() / exact.norm().clamp_min(1e-6)
        assert difference < self.bfloat16_tolerance, f"bfloat16 logits differ by {difference:.3f} of their norm"

    def test_channels_last_gives_the_same_logits(self) -> None:
        """The memory format changes nothing but speed."""
        network = self.build().eval()
        image = torch.randn(2, 1, 96, 80)
        with torch.inference_mode():
            expected = network(image)
            fast = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            found = fast(image.contiguous(memory_format=torch.channels_last))
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)

    def test_eval_is_deterministic_and_keeps_no_state(self) -> None:
        """Two passes give the same logits and change no parameter or buffer; a slice's logits ignore its batch."""
        network = self.build().eval()
        image = torch.randn(2, 1, 64, 96)
        before = copy.deepcopy(network.state_dict())
        with torch.inference_mode():
            first, second, alone = network(image), network(image), network(image[1:])
        assert torch.equal(first, second), "two passes in eval mode differ"
        torch.testing.assert_close(first[1:], alone, rtol=1e-3, atol=1e-4)
        for name, value in network.state_dict().items():
            assert torch.equal(value, before[name]), f"eval mode changed {name}"

    def test_state_dict_round_trip(self) -> None:
        """Weights move to a new network of the same options, and the logits with them."""
        network, other = self.build().eval(), self.build().eval()
        other.load_state_dict(network.state_dict())
        image = torch.randn(1, 1, 64, 64)
        with torch.inference_mode():
            assert torch.equal(network(image), other(image))

    def test_float64_agrees_with_float32(self) -> None:
        """No dtype is fixed inside, and float32 loses no more than rounding."""
        network = self.build().eval()
        image = torch.randn(1, 1, 64, 64)
        with torch.inference_mode():
            single = network(image)
            double = network.double()(image.double())
        assert double.dtype is torch.float64, f"a float64 network returns {double.dtype}"
        difference = float((single - double).norm() / double.norm().clamp_min(1e-12))
        assert difference < self.float_tolerance, f"float32 differs from float64 by {difference:.2e}"

    def test_output_is_logits(self) -> None:
        """No softmax or sigmoid inside: probabilities would sum to one, or lie between 0 and 1."""
        network = self.build().eval()
        with torch.no_grad():
            logits = network(10 * torch.randn(1, 1, 64, 64))
            if not logits.any():  # a classifier that starts at zero says nothing yet
                logits = randomise(network)(10 * torch.randn(1, 1, 64, 64))
        sums = logits.sum(1)
        assert not torch.allclose(sums, torch.ones_like(sums), atol=1e-3), (
            "the network applies a softmax; return logits"
        )
        assert logits.min() < 0 or logits.max() > 1, "the network's output lies in [0, 1]; return logits"

    def test_export(self) -> None:
        """``torch.export`` captures the network, and what it captures gives the same logits."""
        network = self.build().eval()
        image = torch.randn(1, 1, 64, 80)
        with torch.no_grad():
            program = torch.export.export(network, (image,))
            torch.testing.assert_close(program.module()(image), network(image), rtol=1e-3, atol=1e-4)

    def test_learns_four_slices(self) -> None:
        """From a fixed seed it overfits four phantom slices to a mean Dice above 0.9 within ``learn_steps`` steps."""
        images, labels = make_slices()
        network = self.build()
        optimizer = torch.optim.Adam((p for p in network.parameters() if p.requires_grad), lr=self.learn_rate)
        dice = 0.0
        for step in range(self.learn_steps):
            for group in optimizer.param_groups:
                group["lr"] = self.learn_rate * 0.5 * (1 + math.cos(math.pi * step / self.learn_steps))
            optimizer.zero_grad()
            _loss(network.train(), images, labels).backward()
            optimizer.step()
            if (step + 1) % 25 == 0 or step + 1 == self.learn_steps:
                dice = _mean_dice(network.eval(), images, labels)
                if dice > 0.9:
                    break
        assert dice > 0.9, f"mean Dice {dice:.3f} after {self.learn_steps} steps"


def _mean_dice(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    with torch.inference_mode():
        prediction = network(images).argmax(1)
    hard = F.one_hot(prediction, 4).permute(0, 3, 1, 2).float()
    return 1 - float(SoftDice(4, smooth=0.0).from_probabilities(hard, labels))


def _loss(network: nn.Module, image: Tensor, label: Tensor) -> Tensor:
    return Criterion(dice_ce_loss(4))(network(image), label).total
