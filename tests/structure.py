"""Checks on the shape of the source: each takes a `Source` and yields what is wrong with it, with the line."""

import ast
import re
from collections.abc import Iterable, Iterator
from fnmatch import fnmatch

from tests.source import ROOT, Source, sources

MAX_FILE = 400
MAX_FUNCTION = 60
"""Lines of code; a docstring does not count, since a rule's docstring is a page."""

WRITERS = ("repair/", "schemes/", "lab/", "probe/restore.py", "probe/replica.py")
"""repair writes a model, schemes fill one tensor, lab trains networks of its own, restore puts back what it saved,
replica fills a copy that it made."""

TESTED_BY: dict[str, str] = {
    "__init__.py": "tests/test_public_door.py",
    "__main__.py": "tests/cli/test_main.py",
    "cli/__init__.py": "tests/cli/test_main.py",
    "lab/__init__.py": "tests/lab/test_running.py",
    "lab/studies/__init__.py": "tests/lab/studies/test_studies.py",
    "rules/__init__.py": "tests/rules/test_contract.py",
    "rules/*/*": "tests/rules/test_contract.py",
    "schemes/__init__.py": "tests/schemes/test_fills.py",
}
"""Files (as a pattern) without a mirrored test file -> the test that covers them."""

AWAITED: tuple[str, ...] = ()
"""Files (as patterns) whose tests are still to come. The list only gets shorter: a tested entry must leave it."""

SEEDERS: dict[str, str] = {
    "probe/restore.py": "factories and modules draw from the global generators: one function seeds them",
}
"""File -> why it may seed the global generators."""

TENSOR_DRAWS = set("bernoulli_ cauchy_ exponential_ geometric_ log_normal_ normal_ random_ uniform_".split())
INIT_DRAWS = {"normal_", "uniform_", "orthogonal_", "sparse_"}
TORCH_DRAWS = set("bernoulli multinomial normal poisson rand randint randn randperm".split())
TORCH_GLOBAL = set("rand_like randint_like randn_like manual_seed seed".split())
PYTHON_DRAWS = set("choice choices gauss randbytes randint random randrange sample seed shuffle uniform".split())
NUMPY_HARMLESS = {"default_rng", "get_state", "set_state", "Generator"}


def long_file(source: Source) -> Iterator[str]:
    """No file is longer than MAX_FILE lines."""
    length = len(source.text.splitlines())
    if length > MAX_FILE:
        yield f"{length} lines, at most {MAX_FILE}"


def long_function(source: Source) -> Iterator[str]:
    """No function is longer than MAX_FUNCTION lines."""
    for function in source.functions():
        length = function.end_lineno - function.lineno + 1
        if ast.get_docstring(function) is not None:
            length -= function.body[0].end_lineno - function.body[0].lineno + 1
        if length > MAX_FUNCTION:
            yield f"line {function.lineno}: {function.name} has {length} lines, at most {MAX_FUNCTION}"


def drawer(source: Source) -> Iterator[str]:
    """No module is a drawer for anything."""
    for name in {"utils", "util", "helpers", "common", "misc"} & set(source.module.split(".")):
        yield f"a module named {name} collects what has no place; name the noun or the verb"


def stray_print(source: Source) -> Iterator[str]:
    """Nothing outside cli and report prints."""
    if source.place.startswith(("cli/", "report/")):
        return
    for name, call in source.calls():
        if name in {"print", "sys.stdout.write", "sys.stderr.write"}:
            yield f"line {call.lineno}: {name}"


def global_draw(source: Source) -> Iterator[str]:
    """No draw uses, and nothing seeds, a generator that belongs to the whole process."""
    if source.place in SEEDERS:
        return
    for name, call in source.calls():
        if _is_global_draw(name, has_generator=any(keyword.arg == "generator" for keyword in call.keywords)):
            yield f"line {call.lineno}: {name} without a generator"


def _is_global_draw(name: str, *, has_generator: bool) -> bool:
    owner, _, verb = name.rpartition(".")
    if verb in {"manual_seed_all", "seed_all"} or owner.endswith("default_generator"):
        return True
    if owner == "random":
        return verb in PYTHON_DRAWS
    if owner.endswith(("np.random", "numpy.random")):
        return verb not in NUMPY_HARMLESS
    if owner == "torch" or owner.startswith(("torch.cuda", "torch.random")):
        return verb in TORCH_GLOBAL or (verb in TORCH_DRAWS and not has_generator)
    draws = verb.endswith(tuple(INIT_DRAWS)) if owner.endswith("init") else verb in TENSOR_DRAWS
    return draws and not has_generator


def stray_write(source: Source) -> Iterator[str]:
    """Nothing outside repair writes into a parameter: no `.data`, no `nn.init`, no `load_state_dict`."""
    if source.place.startswith(WRITERS):
        return
    for node in source.nodes:
        if isinstance(node, ast.Attribute) and node.attr == "data" and isinstance(node.ctx, ast.Store):
            yield f"line {node.lineno}: writes .data"
    for name, call in source.calls():
        owner, _, verb = name.rpartition(".")
        if verb == "load_state_dict" or owner.endswith("nn.init") or (owner.endswith(".data") and verb.endswith("_")):
            yield f"line {call.lineno}: {name}"


def stray_threshold(source: Source) -> Iterator[str]:
    """No number that decides stands in a rule; 0, 1 and 2 count things."""
    if not source.place.startswith("rules/"):
        return
    orders = ast.Lt | ast.LtE | ast.Gt | ast.GtE
    for node in source.nodes:
        if isinstance(node, ast.Compare) and any(isinstance(operator, orders) for operator in node.ops):
            numbers = (part.value for part in ast.walk(node) if isinstance(part, ast.Constant))
            for number in numbers:
                if isinstance(number, int | float) and number not in {0, 1, 2}:
                    yield f"line {node.lineno}: {number} decides; put it into Limits with unit and source"


def silent_silence(source: Source) -> Iterator[str]:
    """Every silenced check carries a code and its reason on the same line."""
    for number, line in enumerate(source.text.splitlines(), 1):
        found = re.search(r"#\s*(?:noqa|type:\s*ignore)(.*)", line)
        if found and not re.search(r"(?::\s*[A-Z]+\d+|\[[\w, -]+\]).*(?:\s-|#)\s+\S+ \S+", found[1]):
            yield f"line {number}: silenced without a code and a reason ('# noqa: X123 - why it is right here')"


def untested(source: Source) -> Iterator[str]:
    """Every module has a test file of its own, mirrored under tests, or says what tests it."""
    if not _is_covered(source) and not _under(source.place, AWAITED):
        yield f"expected {_mirrored(source)}, or an entry in TESTED_BY"


def overdue() -> Iterator[str]:
    """Entries of AWAITED under which every module has its test."""
    waiting = [source.place for source in sources() if not _is_covered(source)]
    yield from (entry for entry in AWAITED if not any(_under(place, [entry]) for place in waiting))


def _is_covered(source: Source) -> bool:
    is_empty = source.place.endswith("__init__.py") and not list(source.functions())
    return is_empty or _under(source.place, TESTED_BY) or (ROOT / _mirrored(source)).exists()


def _mirrored(source: Source) -> str:
    folder, _, file = source.place.rpartition("/")
    return "/".join(filter(None, ["tests", folder, f"test_{file}"]))


def _under(place: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch(place, pattern) for pattern in patterns)


CHECKS = (
    long_file,
    long_function,
    drawer,
    stray_print,
    global_draw,
    stray_write,
    stray_threshold,
    silent_silence,
    untested,
)
