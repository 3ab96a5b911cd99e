"""What a plugin's network gives on its first batch, held against the model contract of docs/plugins.md."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from spine_ignite.errors import RunError, SpineIgniteError
from spine_ignite.names import cut
from spine_ignite.spec import Aux, ModelOutput

_SHOWN = 4  # names of parameters
_TOLERANCE = 0.02  # of a sum of probabilities, in bfloat16
_PASSES = 20  # in which a parameter may be skipped at random before it counts as unused


@dataclass(frozen=True, slots=True)
class Contract:
    """The contract of one network, as sentences about what breaks it.

    It is asked once, on the first batch of a run: later batches cost nothing.

    Args:
        model: the architecture's name.
        plugin: name and version of the distribution that it comes from.
        num_classes: classes, background included.
    """

    model: str
    plugin: str
    num_classes: int

    @contextmanager
    def failures_named(self, image: Tensor) -> Iterator[None]:
        """Turn what the network raises on an image ``(B, C, H, W)`` into an error that names it; memory errors pass."""
        try:
            yield
        except (SpineIgniteError, MemoryError):
            raise
        except Exception as error:
            from spine_ignite.training.faults import is_out_of_memory  # it knows runs, which have a contract

            if is_out_of_memory(error):
                raise
            reason = cut(" ".join(f"{type(error).__name__}: {error}".split()), 300)
            raise RunError(f"{self} fails on a batch of shape {tuple(image.shape)}: {reason}") from error

    def check_training(self, output: Any, image: Tensor, network: nn.Module) -> None:
        """Check what the network gave for an image ``(B, C, H, W)`` in training mode.

        Raises:
            RunError: it is neither logits nor a :class:`ModelOutput`, or a part of it is not what it must be.
        """
        if not isinstance(output, ModelOutput):
            self._check_logits(output, image, network, "logits, or a ModelOutput in training")
        else:
            self._check_logits(output.logits, image, network, "a ModelOutput with logits")
            self._check_parts(output, image)
        logits = output.logits if isinstance(output, ModelOutput) else output
        if not logits.requires_grad and any(p.requires_grad for p in network.parameters()):
            raise self._broken(
                "its logits are cut off from its parameters (by detach or no_grad), so that none is trained"
            )

    def check_evaluation(self, output: Any, image: Tensor, network: nn.Module) -> None:
        """Check what the network gave for an image ``(B, C, H, W)`` in evaluation mode.

        Raises:
            RunError: it is not logits.
        """
        self._check_logits(output, image, network, "logits in evaluation mode")

    def check_gradients(self, network: nn.Module, again: Callable[[], Tensor]) -> None:
        """Look for parameters without a gradient after a backward pass; frozen ones have none.

        Where there are any, more passes tell those that a network skips at random from those that it never uses.

        Args:
            network: the network.
            again: computes a loss anew.

        Raises:
            RunError: a parameter is never used.
        """
        unused = {n: p for n, p in network.named_parameters() if p.requires_grad and p.grad is None}
        kept = copy.deepcopy([*network.buffers()]) if unused else []
        for _ in range(_PASSES):
            if not unused:
                break
            gradients = torch.autograd.grad(again(), list(unused.values()), allow_unused=True)
            unused = {n: p for (n, p), g in zip(unused.items(), gradients, strict=True) if g is None}
        with torch.no_grad():
            for buffer, value in zip(network.buffers(), kept, strict=False):
                buffer.copy_(value)
        if unused:
            names = ", ".join(list(unused)[:_SHOWN])
            more = f" and {len(unused) - _SHOWN} more" if len(unused) > _SHOWN else ""
            raise self._broken(
                f"its parameters {names}{more} have no part in its output, and would never be trained; they must be "
                "left out, or frozen (requires_grad=False)"
            )

    def _check_logits(self, logits: Any, image: Tensor, network: nn.Module, what: str) -> None:
        wanted = (len(image), self.num_classes, *image.shape[-2:])
        must = f"for a batch of shape {tuple(image.shape)} it must return {what} of shape {wanted}"
        if not isinstance(logits, Tensor):
            raise self._broken(f"{must}, and returns {_named(logits)}")
        if tuple(logits.shape) != wanted:
            raise self._broken(f"{must}, and returns {tuple(logits.shape)}")
        if not logits.is_floating_point():
            raise self._broken(f"{must} in floating point, and returns {logits.dtype}")
        self._require_finite("the logits", logits, image)
        kind = _probabilities(logits.detach(), network, image)
        if kind is not None:
            raise self._broken(
                f"it must return logits, and returns probabilities ({kind}); its softmax or sigmoid must be left out, "
                "since the loss has one"
            )

    def _check_parts(self, output: ModelOutput, image: Tensor) -> None:
        for name, aux in output.aux.items():
            where = f"the auxiliary logits '{cut(str(name), 60)}'"
            if not isinstance(aux, Aux) or not isinstance(aux.logits, Tensor):
                raise self._broken(f"{where} must be an Aux with a tensor, and are {_named(aux)}")
            wanted = (len(image), 1 if aux.target == "edge" else self.num_classes)
            if aux.logits.ndim != 4 or tuple(aux.logits.shape[:2]) != wanted:
                shape = f"({wanted[0]}, {wanted[1]}, h, w)"
                raise self._broken(f"{where} must have shape {shape}, and have {tuple(aux.logits.shape)}")
            self._require_finite(where, aux.logits, image)
        for name, penalty in output.penalties.items():
            if not isinstance(penalty, Tensor) or penalty.ndim:
                raise self._broken(f"the penalty '{cut(str(name), 60)}' must be one number, and is {_named(penalty)}")
            self._require_finite(f"the penalty '{cut(str(name), 60)}'", penalty, image)

    def _require_finite(self, what: str, values: Tensor, image: Tensor) -> None:
        """Refuse NaN and infinity for an image without; in float16, which overflows soon, only NaN."""
        wrong = values.isnan() if values.dtype is torch.float16 else ~values.isfinite()
        if bool(wrong.any()) and bool(image.isfinite().all()):
            count = f"{int(wrong.sum())} of the {wrong.numel()} numbers in {what} are" if wrong.ndim else f"{what} is"
            raise self._broken(f"{count} not finite for a batch of shape {tuple(image.shape)}, which is")

    def _broken(self, what: str) -> RunError:
        return RunError(f"{self} breaks the model contract: {what}; report this to the plugin's author")

    def __str__(self) -> str:
        return f"model '{self.model}' of {self.plugin}"


def _named(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    if isinstance(value, (tuple, list)):
        return f"a {type(value).__name__} of {len(value)}"
    return f"a {type(value).__name__}"


@torch.no_grad()
def _probabilities(logits: Tensor, network: nn.Module, image: Tensor) -> str | None:
    """Say why logits ``(B, classes, H, W)`` are probabilities, or None where they are none."""
    if not bool((logits.amin() >= 0) & (logits.amax() <= 1)):
        return None
    if bool(((logits.float().sum(1) - 1).abs() <= _TOLERANCE).all()):
        return "over the classes they add up to 1 at every pixel"
    # A network may start with small positive logits. With random weights none has: with a sigmoid it still has.
    try:
        other = copy.deepcopy(network).eval()
        generator = torch.Generator().manual_seed(0)
        for parameter in other.parameters():
            inputs = parameter[0].numel() if parameter.ndim > 1 else 1  # so that no layer makes numbers overflow
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * (3 / inputs**0.5))
        drawn = other(image[:1])
    except Exception:  # one that cannot be copied, or fails so: then nothing is said
        return None
    bounded = isinstance(drawn, Tensor) and bool((drawn.amin() >= 0) & (drawn.amax() <= 1) & (drawn.amax() > 0))
    return "all lie between 0 and 1, whatever its weights are" if bounded else None
