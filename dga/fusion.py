"""Batch normalisation put into the convolution before it, where tracing proves it safe.

In evaluation mode both are affine, so they are one convolution: fewer passes over memory.
"""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
Pairs = tuple[tuple[str, str], ...]
_known: WeakKeyDictionary[nn.Module, tuple[list[int], Pairs]] = WeakKeyDictionary()


def fusable(model: nn.Module, copy: Callable[[], nn.Module]) -> Pairs:
    """Names of the convolutions and norms of a model in evaluation mode that can be fused.

    Tracing takes as long as some passes, so the answer is kept for as long as the layers are the
    same. A forward may depend on more than that, and may read what is fused, in ways that tracing
    does not see: whoever fuses compares the outputs.

    Args:
        model: what is asked about.
        copy: makes a twin of it to trace, since tracing runs its forward.
    """
    modules = list(model.modules())
    if not any(type(module) in _NORMS for module in modules):
        return ()
    layers = [id(module) for module in modules]
    if model not in _known or _known[model][0] != layers:
        _known[model] = layers, _pairs(copy())
    return _known[model][1]


def fuse(twin: nn.Module, pairs: Pairs) -> None:
    """Changes a twin, which must not share its module objects with the model."""
    for conv_name, norm_name in pairs:
        conv, norm = (operator.attrgetter(name)(twin) for name in (conv_name, norm_name))
        weight, bias = fuse_conv_bn_weights(
            conv.weight, conv.bias, norm.running_mean, norm.running_var, norm.eps,
            norm.weight, norm.bias,
        )  # fmt: skip
        layout = _layout(conv.weight)
        conv._parameters["weight"] = weight.detach().contiguous(memory_format=layout)
        conv._parameters["bias"] = bias.detach()
        vars(norm)["forward"] = _unchanged


def _unchanged(x: Tensor) -> Tensor:
    return x


def _layout(weight: Tensor) -> torch.memory_format:
    last = weight.dim() == 4 and weight.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if last else torch.contiguous_format


def _pairs(model: nn.Module) -> Pairs:
    try:
        graph = fx.Tracer().trace(model)
    except Exception:  # a forward that asks for values, or whatever else a Proxy cannot answer
        return ()
    modules = dict(model.named_modules(remove_duplicate=False))
    calls = Counter(id(modules[n.target]) for n in graph.nodes if n.op == "call_module")
    read = {str(n.target).rpartition(".")[0] for n in graph.nodes if n.op == "get_attr"}

    def alone(node: fx.Node, kinds: tuple[type, ...]) -> bool:
        """A layer of torch that is called once, with one input, and whose weights nobody reads."""
        if node.op != "call_module" or node.target in read or len(node.all_input_nodes) != 1:
            return False
        module: Any = modules[str(node.target)]
        return type(module) in kinds and calls[id(module)] == 1

    found = []
    for node in graph.nodes:
        if alone(node, _NORMS):
            before = node.all_input_nodes[0]
            norm: Any = modules[str(node.target)]
            settled = norm.running_mean is not None and not norm.training
            if settled and alone(before, _CONVOLUTIONS) and len(before.users) == 1:
                found.append((str(before.target), str(node.target)))
    return tuple(found)
