"""Short ways to a Trace and to the operations in it, for tests of the probe."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from stepzero.core.trace import Operation, ParameterUse, Trace
from stepzero.probe.capture import capture
from stepzero.probe.subject import subject_of


def seeded(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    """Normal numbers from a generator of their own."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


class Listening(TorchFunctionMode):
    """Keeps every call that a mode sees: function, positional and keyword arguments, result."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[tuple[Any, tuple[Any, ...], dict[str, Any], Any]] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        self.heard.append((func, args, kwargs or {}, result))
        return result


class Net(nn.Module):
    """A module whose forward is a function of (self, *inputs), with parts by name."""

    def __init__(self, function: Any, **parts: Any) -> None:
        super().__init__()
        self.function = function
        for name, part in parts.items():
            setattr(self, name, nn.Parameter(part) if isinstance(part, Tensor) else part)

    def forward(self, *inputs: Any) -> Any:
        return self.function(self, *inputs)


def traced(model: nn.Module, batch: Any, loss: Any = None, target: Any = None) -> Trace:
    """The Trace of one pass."""
    return capture(subject_of(model, batch, loss, target))


def seen(function: Any, *batch: Any, **parts: Any) -> Trace:
    """The Trace of a function of (self, *inputs) under a surrogate loss."""
    return traced(Net(function, **parts), tuple(batch))


def of_model(trace: Trace) -> list[Operation]:
    """Operations of the model, without the batch and the loss."""
    return [operation for operation in trace.operations if not operation.in_loss and operation.name != "input"]


def names(trace: Trace) -> list[str]:
    """Their names in order."""
    return [operation.name for operation in of_model(trace)]


def named(trace: Trace, name: str) -> list[Operation]:
    """Every operation of the model of this name."""
    return [operation for operation in of_model(trace) if operation.name == name]


def one(trace: Trace, name: str) -> Operation:
    """The only operation of the model of this name."""
    (found,) = named(trace, name)
    return found


def sources(trace: Trace, operation: Operation) -> list[str]:
    """Names of the operations that produced the inputs of ``operation``."""
    return [trace.operations[index].name for index in operation.inputs]


def use_of(trace: Trace, parameter: str) -> ParameterUse:
    """The only use of a parameter in an operation that the batch reaches."""
    reached = (operation for operation in of_model(trace) if operation.from_input)
    (found,) = [use for operation in reached for use in operation.uses if use.parameter == parameter]
    return found
