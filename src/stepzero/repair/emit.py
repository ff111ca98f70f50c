"""Write a Plan down as a function ``init_(model)`` that needs torch alone and fills in the same bits."""

import fnmatch
import math
import pprint
from collections.abc import Iterable, Iterator

from torch import Tensor, nn

from stepzero.core.errors import ConfigError
from stepzero.core.plan import HEADER, Entry, Plan
from stepzero.probe.subject import unwrapped
from stepzero.repair.apply import named
from stepzero.schemes.seeding import generator_for

_NORMAL = frozenset(["he", "lecun", "embedding"])
_HELPERS = {
    "_normal_": '''def _normal_(tensor, std, *seeds):
    """One normal draw for each of the equal blocks along the first axis, each from a generator of its own."""
    dtype = torch.float64 if tensor.dtype == torch.float64 else torch.float32
    for block, seed in zip(tensor.chunk(len(seeds)) if len(seeds) > 1 else [tensor], seeds):
        generator = torch.Generator().manual_seed(seed)
        block.copy_(torch.empty(tuple(block.shape), dtype=dtype).normal_(0.0, std, generator=generator))
''',
    "_orthogonal_": '''def _orthogonal_(tensor, gain, *seeds):
    """The same with orthonormal rows or columns, whichever are fewer (QR with the signs of R fixed)."""
    dtype = torch.float64 if tensor.dtype == torch.float64 else torch.float32
    for block, seed in zip(tensor.chunk(len(seeds)) if len(seeds) > 1 else [tensor], seeds):
        generator = torch.Generator().manual_seed(seed)
        rows, columns = block.shape[0], block.numel() // block.shape[0]
        shape = (max(rows, columns), min(rows, columns))
        q, r = torch.linalg.qr(torch.empty(shape, dtype=dtype).normal_(generator=generator))
        q *= torch.where(r.diagonal() < 0, -1.0, 1.0).to(dtype)
        root = math.sqrt(max(rows, columns))
        block.copy_((q.T if rows < columns else q).reshape(tuple(block.shape)) * (gain / root * root))
''',
    "_contrast_": '''def _contrast_(tensor, std, *seeds):
    """Rows without a mean: what all of them have in common tells none apart."""
    dtype = torch.float64 if tensor.dtype == torch.float64 else torch.float32
    z = torch.empty(tuple(tensor.shape), dtype=dtype)
    z.normal_(0.0, 1.0, generator=torch.Generator().manual_seed(*seeds))
    tensor.copy_((z - z.mean(0)) * (std * math.sqrt(len(z) / (len(z) - 1))))
''',
}
_OPENING = '''\
@torch.no_grad()
def init_(model):
    """Fill the parameters and buffers of ``model`` in place; leave a model that this was not made for."""
    bare = getattr(model, '_orig_mod', model)  # of torch.compile
    bare = bare.module if type(bare).__name__.endswith('DataParallel') else bare
    tensors = dict(bare.named_parameters(remove_duplicate=False))
    tensors.update(bare.named_buffers(remove_duplicate=False))
    for name, shape in SHAPES.items():
        if name not in tensors or tuple(tensors[name].shape) != shape:
            came = tuple(tensors[name].shape) if name in tensors else 'nothing'
            warnings.warn(f'init_ was made for another model: {name} should be {shape}, got {came}; left as it is')
            return model
    if any(tensor.is_meta for tensor in tensors.values()):
        raise ValueError('the model has no memory yet: call model.to_empty(device=...) first')
'''.splitlines()
_KNOWN = f"only {', '.join(sorted(_NORMAL))} and orthogonal can; use scheme='auto'"
_COMPLEX = "emit: {} is complex, and only real draws can be written as plain torch; use sz.init_ or sz.fix_ themselves"


def refuse(model: nn.Module, *, scheme: str = "auto", keep: Iterable[str] = ()) -> None:
    """Raise `ConfigError` where it is plain before any work that `emit` could not write the Plan of ``model``."""
    if scheme not in ("auto", "orthogonal", *_NORMAL):
        raise ConfigError(f"emit: scheme {scheme!r} cannot be written as plain torch; {_KNOWN}")
    globs = (keep,) if isinstance(keep, str) else tuple(keep)
    for name, tensor in named(unwrapped(model)).items():
        is_kept = any(fnmatch.fnmatchcase(name, glob) for glob in globs)
        if tensor.requires_grad and tensor.is_complex() and not is_kept:
            raise ConfigError(_COMPLEX.format(name))


def emit(plan: Plan, model: nn.Module) -> str:
    """Python source of ``init_(model)``; ``model`` has carried the Plan out (values put on samples are read from it).

    The function leaves a model alone, with a warning, that lacks one of the tensors or has it in another shape: a
    factory may return several models, and the Plan was made for one.

    Raises:
        ConfigError: the Plan uses a scheme that is not one of the default ones.
    """
    tensors = named(unwrapped(model))
    lines = list(_lines(plan, tensors))
    used = [source for name, source in _HELPERS.items() if any(line.startswith(f"    {name}(") for line in lines)]
    made = "".join(f"Made with {name} {version}.\n" for name, version in plan.versions.items() if name != "python")
    head = [
        f'{HEADER}{plan.model}: scheme {plan.scheme}, seed {plan.seed}.\n\n{made}Needs torch alone.\n"""\n',
        "import math" if "math." in "".join(used) else "",
        "import warnings\n",
        "import torch\n",
        _shapes(plan, tensors),
    ]
    return "\n".join([part for part in head if part]) + "\n".join(
        ["", *used, "", *_OPENING, *lines, "    return model\n"]
    )


def _shapes(plan: Plan, tensors: dict[str, Tensor]) -> str:
    names = dict.fromkeys([*plan.written(), *(scaling.name for scaling in plan.scalings)])
    shapes = pprint.pformat({name: tuple(tensors[name].shape) for name in names}, width=100, sort_dicts=False)
    return f"SHAPES = {shapes}\n"


def _lines(plan: Plan, tensors: dict[str, Tensor]) -> Iterator[str]:
    constants: dict[float, list[str]] = {}
    for entry in plan.entries:
        if entry.action == "set" and not entry.values and not entry.scheme:
            constants.setdefault(entry.value or 0.0, []).append(entry.name)
        elif entry.action == "drawn":
            if tensors[entry.name].is_complex():
                raise ConfigError(_COMPLEX.format(entry.name))
            yield from _drawn(entry, plan.seed)
        elif entry.action == "set":
            yield from _set(entry, tensors)
    for value, names in constants.items():
        yield f"    for name in {_listed(names)}:"
        yield f"        tensors[name].fill_({value!r})"
    for scaling in plan.scalings:
        yield f"    tensors[{scaling.name!r}].mul_({scaling.factor!r})"


def _drawn(entry: Entry, seed: int) -> Iterator[str]:
    seeds = ", ".join(str(generator_for(seed, entry.seed_key, block).initial_seed()) for block in range(entry.blocks))
    place = f"tensors[{entry.name!r}]"
    if entry.scheme == "orthogonal":
        yield f"    _orthogonal_({place}, {entry.gain or 1.0!r}, {seeds})  # {entry.why}"
    elif entry.scheme == "contrast":
        yield f"    _contrast_({place}, {entry.std!r}, {seeds})  # {entry.why}"
    elif entry.scheme in _NORMAL:
        std = (entry.gain or 1.0) / math.sqrt(entry.fan_in or 1.0)
        yield f"    _normal_({place}, {std!r}, {seeds})  # {entry.why}"
    else:
        raise ConfigError(
            f"emit: {entry.name} is drawn by scheme {entry.scheme!r}, which cannot be written as plain torch; {_KNOWN}"
        )
    yield from _slices(entry)


def _set(entry: Entry, tensors: dict[str, Tensor]) -> Iterator[str]:
    if entry.scheme == "kinks":
        values = tensors[entry.name].detach()
        yield f"    tensors[{entry.name!r}].copy_(torch.tensor({values.tolist()!r}, dtype={values.dtype}))"
        return
    if entry.scheme != "rows":
        yield f"    tensors[{entry.name!r}].fill_({entry.value or 0.0!r})  # {entry.why}"
    yield from _slices(entry)


def _slices(entry: Entry) -> Iterator[str]:
    for start, stop, value in entry.values:
        yield f"    tensors[{entry.name!r}][{start}:{stop}] = {value!r}"


def _listed(names: list[str]) -> str:
    return pprint.pformat(names, width=100, compact=True).replace("\n", "\n    ")
