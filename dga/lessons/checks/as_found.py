"""Whether a function leaves a network as it found it; if not, the network is put right again."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


def _flags(model: nn.Module) -> dict[str, list[bool]]:
    return {
        "the model is left in training mode, or a part of it: leave .train() out": [
            m.training for m in model.modules()
        ],
        "parameters of the model are left frozen: leave requires_grad as it is": [
            not p.requires_grad for p in model.parameters()
        ],
        "hooks are left in the model: remove every handle": [_hooked(m) for m in model.modules()],
    }


def _hooks(module: nn.Module) -> list[Any]:
    return [module._forward_hooks, module._forward_pre_hooks, module._backward_hooks]


def _hooked(module: nn.Module) -> bool:
    return any(map(len, _hooks(module)))


class Found:
    """What a network is like; `changed` says what is not so any more, and undoes it.

    Example:
        >>> model = nn.Linear(2, 2).eval()
        >>> found = Found(model)
        >>> found.changed()
        >>> _ = model.train()
        >>> found.changed()
        'the model is left in training mode, or a part of it: leave .train() out'
        >>> model.training
        False
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.flags = _flags(model)
        self.values = {name: value.clone() for name, value in model.state_dict().items()}

    def changed(self) -> str | None:
        """What was left changed, or None; then all is as it was, hooks apart that were there."""
        model = self.model
        if any(p.grad is not None for p in model.parameters()):
            said: str | None = (
                "gradients are left behind in the parameters of the model: .backward() computes "
                "them too. Ask for the one you want: torch.autograd.grad(score.sum(), x)"
            )
        else:
            said = next(
                (words for words, now in _flags(model).items() if now != self.flags[words]), None
            )
        now = model.state_dict()
        if said is None and not all(torch.equal(now[k], v) for k, v in self.values.items()):
            said = "parameters or running means of the model are left changed"
        if said is not None:
            model.zero_grad(set_to_none=True)
            model.load_state_dict(self.values)
            training, frozen, hooked = self.flags.values()
            for module, mode, had in zip(model.modules(), training, hooked, strict=True):
                module.training = mode
                for hooks in _hooks(module) if not had else ():
                    hooks.clear()
            for parameter, still in zip(model.parameters(), frozen, strict=True):
                parameter.requires_grad_(not still)
        return said
