"""What judges a calibration: hooks that know nothing of the pass, and comparison of every bit."""

import torch
from torch import nn

from stepzero.repair.calibrate import Target, calibrate_


def all_weights(model, std=1.0):
    return {name: Target(std) for name, parameter in model.named_parameters() if parameter.dim() > 1}


def calibrated(model, *args, targets=None, **kwargs):
    """Calibrate and write; what was found, and what a second pass measures."""
    targets = all_weights(model) if targets is None else targets
    found = calibrate_(model, lambda: model(*args, **kwargs), targets)
    return found, found.seen


def hooked(model, *args, kinds=(nn.Linear,), **kwargs):
    """Standard deviation of the first output of every module of a kind, by a hook of its own."""
    seen = {}

    def read(name):
        def hook(_, __, output):
            seen.setdefault(name, float(output.detach().double().std(correction=0)))

        return hook

    handles = [
        module.register_forward_hook(read(name)) for name, module in model.named_modules() if isinstance(module, kinds)
    ]
    with torch.no_grad():
        model(*args, **kwargs)
    for handle in handles:
        handle.remove()
    return seen


def bits(model):
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def same(model, saved):
    return all(torch.equal(tensor, saved[name]) for name, tensor in model.state_dict().items())
