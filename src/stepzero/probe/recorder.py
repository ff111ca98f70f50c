"""The recorder: a TorchFunctionMode that sees every torch call of the forward, whoever makes it.

Cost rules. Nothing here reads a number back from the device. A tensor is looked at once, through a bounded sample,
and forgotten. Results carry their `Node` as a Python attribute, so no table keeps a tensor alive.
"""

import itertools
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch._C import _functorch as transforms
from torch.overrides import TorchFunctionMode

from stepzero.core.trace import UNREGISTERED
from stepzero.measure import slope
from stepzero.measure.sampling import ACTIVATION_ROWS, ROWS, Plan, plan_of, rows_of
from stepzero.probe import settings, targets, tree, units, views
from stepzero.probe.nodes import Node, Record, View
from stepzero.probe.restore import Guard
from stepzero.probe.rewrites import Rewrites
from stepzero.probe.sampler import Measured, Sampler
from stepzero.probe.uses import describe, flat_tensors, name_of, shape_of
from stepzero.probe.vocabulary import CREATORS, Spec, spec_of

_RUNS = itertools.count(1)
_MARK = "_stepzero_node"
_MEASURED = frozenset(
    ["weighted", "product", "activation", "norm", "softmax", "attention", "add", "multiply", "join", "pool", "other"]
)
_WEIGHTS = frozenset(["weight", "recurrent", "table"])
_BY_UNIT = frozenset(["weighted", "product", "attention"])
"""Where the arriving gradient is told apart by unit; elsewhere it is that of a weighted neighbour, times a slope."""
_PARTIAL = frozenset(["setitem", "index_put", "index_copy", "index_fill", "masked_scatter", "scatter"])
"""Writes to a part: the rest may still be fresh memory, and reading that would make the check irreproducible."""
_ALWAYS = 16
"""A call site (module and operation) is measured on its first calls; later, in long loops, at powers of two."""
_NO_SLOPE = frozenset(["sin", "cos", "abs", "erf"])


class Recorder(TorchFunctionMode):
    """Record operations of one forward pass; use as a context manager around it."""

    def __init__(self, model: nn.Module, guard: Guard, sampler: Sampler) -> None:
        super().__init__()
        self.records: list[Record] = []
        self.guard = guard
        self.sampler = sampler
        self.phase = "forward"
        self.stack: list[tuple[str, int]] = [("", 0)]
        self.calls: dict[str, int] = {}
        self.unmeasured: dict[str, str] = {}
        self.used: set[str] = set()
        modules = tree.modules(model)
        self._paths = {id(module): path for path, module in modules}
        self._specs: dict[Any, Spec] = {}
        self._inplace: dict[Any, Spec] = {}
        self._run = next(_RUNS)
        self._sources: dict[int, Node | None] = {}
        self._rewrites = Rewrites()
        self._visits: dict[tuple[str, str], int] = {}
        self._largest: dict[Any, float] = {}
        self._kept: list[Tensor] = []
        self._dropped = 0.0
        self._outside: Tensor | None = None
        self._weighed: tuple[Tensor | None, Measured | None] = (None, None)
        # Tensors that outlive the pass carry no mark: where they came from is kept here, by identity.
        for tensor in tree.lasting(modules):
            self._sources[id(tensor)] = None
        for name, parameter in tree.once(tree.parameters(model)):
            self._sources[id(parameter)] = Node(None, views=(View(name, tuple(range(parameter.dim()))),), run=self._run)

    # -- where: the module path -------------------------------------------------------------------------------------

    def enter_module(self, module: nn.Module, _: Any) -> None:
        """Global forward pre-hook: push the module's path."""
        if self.phase == "backward":
            return
        path = self._paths.get(id(module), self.stack[-1][0])
        call = self.calls.get(path, 0)
        self.calls[path] = call + 1
        self.stack.append((path, call))

    def leave_module(self, module: nn.Module, _: Any, __: Any) -> None:
        """Global forward hook: pop to the module's caller (an exception leaves the stack where it happened)."""
        if self.phase == "backward":
            return
        path = self._paths.get(id(module))
        while len(self.stack) > 1:
            top, _call = self.stack.pop()
            if path is None or top == path:
                return

    # -- sources ----------------------------------------------------------------------------------------------------

    def add_input(self, name: str, tensor: Tensor) -> None:
        """Declare a tensor of the batch; it becomes an operation named ``input``."""
        if self._sources.get(id(tensor)) is not None:
            return
        axis = units.of_input(shape_of(tensor)) if tensor.is_floating_point() else None
        record = self._new(Spec("input", "other"), tensor, [], from_input=True)
        record.unit_axis, record.attributes["argument"] = axis, name
        self._sources[id(tensor)] = Node(record.index, from_input=True, unit_axis=axis, run=self._run)
        self._kept.append(tensor)
        if axis is not None:
            self._measure(record, tensor)

    def node_of(self, tensor: Tensor) -> Node | None:
        """Where ``tensor`` came from; None for constants."""
        if transforms.is_functorch_wrapped_tensor(tensor):
            tensor = _value_of(tensor)
        node: Node | None = getattr(tensor, _MARK, None)
        if node is None or node.run != self._run:
            node = self._sources.get(id(tensor))
        return self._rewrites.latest(tensor, node) if self._rewrites.writers else node

    def leave_function(self, name: str, args: tuple[Any, ...], result: Any) -> None:
        """Record a custom function as one operation where its own forward left no trace from input to result."""
        if self.phase == "backward":
            return
        operands = [(operand, self.node_of(operand)) for operand in flat_tensors(args)]
        known = [(operand, node) for operand, node in operands if node is not None]
        from_input = any(node.from_input for _, node in known)
        cut = [output for output in flat_tensors([result]) if self._is_cut_off(output, from_input=from_input)]
        if known and cut:
            source = _source(known)
            shapes = {id(operand): shape_of(operand) for operand, node in known if node.views}
            self._record(Spec(name, "other"), args, {}, known, cut, shapes, source, None, from_input=from_input)

    def _is_cut_off(self, output: Tensor, *, from_input: bool) -> bool:
        node = self.node_of(output)
        return output.is_floating_point() and (node is None or (from_input and not node.from_input))

    # -- the mode ---------------------------------------------------------------------------------------------------

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run one torch call and record what it did."""
        kwargs = kwargs or {}
        try:
            spec = self._specs.get(func)
        except TypeError:  # unhashable callables
            return func(*args, **kwargs)
        if spec is None:
            spec = self._specs[func] = spec_of(func)
        if spec.is_silent:
            return func(*args, **kwargs)
        if spec.opened is not None:
            with self:
                return spec.opened(*args, **kwargs)
        if spec.is_inplace or (kwargs and spec.writes(kwargs)):
            if not spec.is_inplace:
                spec = self._inplace.get(func) or self._inplace.setdefault(func, replace(spec, is_inplace=True))
            self._before_write(spec, args, kwargs)
        if spec.kind in ("dropout", "attention"):
            self._dropped = settings.attention_dropout(args, kwargs) if spec.kind == "attention" else 0.0
            args, kwargs = settings.without_dropout(spec, args, kwargs)
        if self.phase == "backward":  # a checkpoint runs its forward again, and must save what it saved before
            return func(*args, **kwargs)
        return self._observe(func, spec, args, kwargs)

    def _before_write(self, spec: Spec, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        targets = [kwargs["out"]] if "out" in kwargs else [args[0] if args else None]
        if spec.name.startswith("_foreach") or spec.name.startswith("_fused"):
            targets = list(args)
        tensors = flat_tensors(targets)
        for tensor in tensors:
            self.guard.before_write(tensor)
        self._rewrites.expect([_value_of(tensor) for tensor in tensors])

    def _observe(self, func: Any, spec: Spec, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        operands = flat_tensors((*args, *kwargs.values()) if kwargs else args)
        known: list[tuple[Tensor, Node]] = []
        from_input = False
        for operand in operands:
            node = self.node_of(operand)
            if node is not None:
                known.append((operand, node))
                from_input = from_input or node.from_input
                if node.pending is not None and spec.name != "relu":
                    self._hook_late(operand, node)
            elif type(operand) is nn.Parameter and operand.requires_grad:
                self.unmeasured[f"{self.stack[-1][0] or 'the model itself'}:{spec.name}"] = UNREGISTERED
        if not known:
            return func(*args, **kwargs)
        flatness = None
        if spec.kind == "activation" and from_input and torch.is_grad_enabled():
            flatness = self._flatness(func, spec, args, kwargs)
        shapes = {} if from_input else {id(operand): shape_of(operand) for operand, node in known if node.views}
        source = _source(known)
        call, self._outside = targets.within(spec.name, args, kwargs) if spec.kind == "loss" else ((args, kwargs), None)
        result = func(*call[0], **call[1])
        if spec.kind == "dropout" and not spec.is_inplace and any(result is operand for operand in operands):
            result = result.view_as(result)  # turned off it returns its input, and would leave no trace
        outputs = [result] if isinstance(result, Tensor) else flat_tensors([result])
        if not outputs and spec.is_inplace and isinstance(args[0], Tensor):
            outputs = [args[0]]  # x[...] = y returns nothing
        if outputs and (spec.is_inplace or not any(outputs[0] is operand for operand in operands)):
            self._record(spec, args, kwargs, known, outputs, shapes, source, flatness, from_input=from_input)
        return result

    def _record(
        self,
        spec: Spec,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        known: list[tuple[Tensor, Node]],
        outputs: list[Tensor],
        shapes: dict[int, tuple[int, ...]],
        source: tuple[tuple[int, ...], int | None],
        flatness: tuple[Plan, Tensor, Tensor] | None,
        *,
        from_input: bool,
    ) -> None:
        first = outputs[0]
        if spec.name in CREATORS and spec.name not in ("normal", "bernoulli"):
            return
        inputs = list(dict.fromkeys([node.index for _, node in known if node.index is not None]))
        record = self._new(spec, first, inputs, from_input=from_input)
        operands = {id(operand): node.views[0] for operand, node in known if node.views}
        if operands and (from_input or spec.kind != "view"):
            record.uses = describe(spec.name, args, kwargs, operands)
            self.used.update([view.parameter for _, node in known for view in node.views])
        if spec.kind == "weighted" and not any(use.slot in _WEIGHTS for use in record.uses):
            record.kind = "product"
        record.unit_axis = units.of_result(
            spec.name, spec.kind, (args, kwargs), record.shape, *source, result=first, weights=operands
        )
        settings.read(record, spec, args, kwargs, dropped=self._dropped)
        self._mark(spec, record, known, outputs, shapes)
        if not from_input or not first.is_floating_point():
            return
        if _value_of(first) is not first:
            self.unmeasured[f"{record.module}:{record.name}"] = "inside torch.vmap or another transform of torch.func"
            return
        if record.in_loss or spec.kind == "loss" or first.numel() == 1:
            if first.numel() == 1:
                record.scalars["value"] = first.detach()
            if spec.kind == "loss":
                settings.read_loss(record, spec, args, kwargs)
                targets.read(record, args, kwargs, [(each, self._is_result(node)) for each, node in known])
                record.scalars.update({} if self._outside is None else {"num_outside": self._outside})
        elif spec.kind in _MEASURED and spec.name not in _PARTIAL and self._is_worth_measuring(record):
            self._read_sharpness(record, spec, args, kwargs)
            self._measure(record, first, flatness)

    def _is_result(self, node: Node) -> bool:
        return node.index is None or self.records[node.index].name != "input"

    def _new(self, spec: Spec, tensor: Tensor, inputs: list[int], *, from_input: bool) -> Record:
        module, call = self.stack[-1]
        record = Record(
            index=len(self.records),
            name=spec.name,
            kind=spec.kind,
            module=module,
            call=call,
            shape=shape_of(tensor),
            dtype=name_of(tensor.dtype),
            inputs=inputs,
            from_input=from_input,
            in_loss=self.phase == "loss",
            is_inplace=spec.is_inplace,
        )
        self.records.append(record)
        return record

    def _mark(
        self,
        spec: Spec,
        record: Record,
        known: list[tuple[Tensor, Node]],
        outputs: list[Tensor],
        shapes: dict[int, tuple[int, ...]],
    ) -> None:
        """Tell every output where it came from."""
        for output in map(_value_of, outputs):
            after: tuple[View, ...] = ()
            if not record.from_input:
                after = _views_after(spec, known, output, shapes)
            axis = record.unit_axis if output.dim() == len(record.shape) else output.dim() - 1
            node = Node(record.index, record.from_input, after, axis, self._run)
            if id(output) in self._sources:
                self._sources[id(output)] = node
            else:
                setattr(output, _MARK, node)
            if spec.is_inplace:
                self._rewrites.note(output, node)

    # -- measuring --------------------------------------------------------------------------------------------------

    def _is_worth_measuring(self, record: Record) -> bool:
        site = (record.module, record.name)
        visit = self._visits.get(site, 0) + 1
        self._visits[site] = visit
        return visit <= _ALWAYS or visit & (visit - 1) == 0

    _read_sharpness = staticmethod(settings.read_sharpness)

    def _measure(self, record: Record, tensor: Tensor, flatness: tuple[Plan, Tensor, Tensor] | None = None) -> None:
        axis = record.unit_axis
        rows = ACTIVATION_ROWS if record.kind == "activation" else ROWS
        plan = plan_of(record.shape, axis, rows) if axis is not None else None
        if plan is None:
            return
        try:
            record.forward = self.sampler.take(
                tensor,
                plan,
                is_forward=True,
                has_range=record.kind == "activation",
                has_off=record.name == "relu",
            )
        except (RuntimeError, NotImplementedError) as error:
            self.unmeasured[f"{record.module}:{record.name}"] = str(error).splitlines()[0]
            return
        if flatness is not None and flatness[0].units == plan.units:
            record.forward.flatness = flatness[1:]
        is_late = not tensor.requires_grad and not torch.is_grad_enabled()
        if (is_late or record.kind == "norm") and (node := getattr(tensor, _MARK, None)) is not None:
            # Made inside a custom function, it requires grad only once that has returned. A norm's gradient is looked
            # at by whoever reads it; if that is a ReLU, its own gradient and the share of units that are on say it.
            node.pending = plan
        elif tensor.requires_grad:
            self._hook(record, tensor, plan)

    def _hook_late(self, tensor: Tensor, node: Node) -> None:
        """Hook a result when it is read for the first time."""
        if node.pending is not None and node.index is not None and tensor.requires_grad:
            self._hook(self.records[node.index], tensor, node.pending)
            node.pending = None

    def _hook(self, record: Record, tensor: Tensor, plan: Plan) -> None:
        def arrive(gradient: Tensor) -> None:
            with torch._C.DisableTorchFunction():  # else the mode would be told of every question, too
                if gradient.shape == record.shape and gradient.layout == torch.strided:
                    if record.kind in _BY_UNIT:
                        record.backward = self.sampler.take(gradient, plan, is_forward=False)
                    elif gradient is not self._weighed[0]:
                        record.backward = self.sampler.weigh(gradient, plan)
                        self._weighed = (gradient, record.backward)
                    else:  # a sum hands one gradient to all its terms
                        record.backward = self._weighed[1]

        tensor.register_hook(arrive)

    def _flatness(
        self, func: Any, spec: Spec, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[Plan, Tensor, Tensor] | None:
        """Derivative of the activation itself on a sample of its input, before the call may overwrite it."""
        if spec.name == "relu" or spec.name in _NO_SLOPE:
            return None
        z, *rest = args or (kwargs.get("input"),)
        node, shape = (self.node_of(z), shape_of(z)) if isinstance(z, Tensor) else (None, ())
        axis = units.of_result(spec.name, spec.kind, (args, kwargs), shape, shape, node.unit_axis) if node else None
        plan = plan_of(shape, axis, ACTIVATION_ROWS) if axis is not None else None
        if plan is None or not self._is_sampled(spec) or _value_of(z) is not z:
            return None
        quiet = {key: value for key, value in kwargs.items() if key not in ("inplace", "input", "out")}
        apply = settings.elementwise(func, spec, tuple(rest), quiet)
        try:
            sample = rows_of(z, plan).to(torch.float32)
            key = (spec.name, str(rest), str(quiet), sample.device)
            if key not in self._largest:
                has_slopes = any(isinstance(value, Tensor) for value in (*rest, *quiet.values()))
                self._largest[key] = slope.largest_slope(apply, sample if has_slopes else sample[0])
            return (plan, *slope.flat_shares(slope.slope_at(apply, sample), self._largest[key]))
        except (RuntimeError, TypeError, NotImplementedError) as error:
            self.unmeasured[f"{self.stack[-1][0]}:{spec.name}"] = str(error).splitlines()[0]
            return None

    def _is_sampled(self, spec: Spec) -> bool:
        visit = self._visits.get((self.stack[-1][0], spec.name), 0) + 1
        return visit <= _ALWAYS or visit & (visit - 1) == 0


def _value_of(tensor: Tensor) -> Tensor:
    """The tensor itself under `torch.vmap` and its relatives, which hand out wrappers that live only inside."""
    while transforms.is_functorch_wrapped_tensor(tensor):
        tensor = transforms.get_unwrapped(tensor)
    return tensor


def _source(known: list[tuple[Tensor, Node]]) -> tuple[tuple[int, ...], int | None]:
    """Shape and unit axis of the first operand that the batch reaches."""
    for operand, node in known:
        if node.from_input:
            return shape_of(operand), node.unit_axis
    return (), None


def _views_after(
    spec: Spec, known: list[tuple[Tensor, Node]], output: Tensor, shapes: dict[int, tuple[int, ...]]
) -> tuple[View, ...]:
    """Views of the parameters that ``output``, computed without the batch, still is or derives from."""
    sources = [(operand, view) for operand, node in known for view in node.views]
    if spec.kind == "view" and len(sources) == 1:
        operand, view = sources[0]
        return (views.through(spec.name, view, operand, shapes[id(operand)], output),)
    return tuple(View(view.parameter, (None,) * output.dim(), None, is_derived=True) for _, view in sources)
