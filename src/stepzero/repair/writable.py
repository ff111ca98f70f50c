"""What must hold of a model before anything is written to it; told in one line where it does not."""

from typing import Any

import torch
from torch import nn
from torch.nn.parameter import UninitializedTensorMixin  # type: ignore[attr-defined] # torch exports it, its stubs do not

from stepzero.core.errors import TargetError
from stepzero.probe import tree
from stepzero.probe.subject import unwrapped


def writable(model: Any) -> nn.Module:
    """The module under wrappers of compilation and data parallelism.

    Raises:
        TargetError: no module, TorchScript, or parameters made in inference mode, which nothing can write or train.
    """
    if not isinstance(model, nn.Module):
        raise TargetError(f"model: expected a torch.nn.Module, got {type(model).__name__}; pass the module itself")
    root = unwrapped(model)
    if isinstance(root, torch.jit.ScriptModule):
        raise TargetError("model: expected Python modules, got TorchScript; start the model before it is scripted")
    for name, tensor in tree.parameters(root):
        if not isinstance(tensor, UninitializedTensorMixin) and tensor.is_inference():
            raise TargetError(
                f"model: {name} was made in inference mode, where it can be neither written nor trained; "
                "build the model outside torch.inference_mode()"
            )
    return root
