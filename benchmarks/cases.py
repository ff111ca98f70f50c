"""Score the rules on pairs of a real bug and its repair.

    python -m benchmarks.cases FOLDER                 one line a case, then totals
    python -m benchmarks.cases FOLDER --json FILE     the same as data
    python -m benchmarks.cases FOLDER --ids e02 l05   only these

Every file of FOLDER holds one case: ``META`` (a dict with ``id``, ``expected_where``, ``expected_kind`` and, but for
look-alikes, ``severity``) and two factories ``buggy()`` and ``fixed()``, each returning ``(model, args, loss)``.

A case is *detected* when the check of ``buggy`` says a warning or an error that the check of ``fixed`` does not say at
that place as loudly. It is *located* when one of those findings names a place that ``expected_where`` names: the same
path, one inside it or one around it. An error on ``fixed`` is a *false alarm*. Each case runs in a child of its own.
"""

import argparse
import importlib.util
import json
import multiprocessing
import re
import sys
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase
from multiprocessing.connection import Connection
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from benchmarks import machine

TIMEOUT = 300.0
LOUD = ("error", "warning")
"""Severities that count, worst first."""
NAME = re.compile(r"[\w*]+(?:\.[\w*]+)*")


@dataclass
class Said:
    """One finding of one check."""

    code: str
    severity: str
    where: list[str]
    message: str


@dataclass
class Score:
    """What the two checks of one case said."""

    id: str
    file: str
    kind: str = ""
    severity: str = "none"
    """Expected severity of the bug; ``none`` for look-alikes, which promise only that ``fixed`` is sound."""
    places: list[str] = field(default_factory=list)
    """Parameters and modules that ``expected_where`` names; empty: location is not scored."""
    buggy: list[Said] = field(default_factory=list)
    fixed: list[Said] = field(default_factory=list)
    crash: str = ""

    @property
    def group(self) -> str:
        """First letter of the id: what kind of story it is."""
        return self.id[:1]

    @property
    def new(self) -> list[Said]:
        """Warnings and errors on the bug that the repair does not draw as loudly at the same place."""
        return [said for said in _loud(self.buggy) if not any(_covers(other, said) for other in self.fixed)]

    @property
    def detected(self) -> bool:
        """Whether the bug is told from its repair."""
        return bool(self.new)

    @property
    def located(self) -> bool | None:
        """Whether a telling finding names the place; None when the case names none."""
        named = (where for said in self.new for where in said.where)
        return any(_touches(where, place) for where in named for place in self.places) if self.places else None

    @property
    def false_alarm(self) -> bool:
        """Whether the repaired model draws an error."""
        return any(said.severity == "error" for said in self.fixed)

    @property
    def warned(self) -> bool:
        """Whether the repaired model draws a warning."""
        return any(said.severity == "warning" for said in self.fixed)


def _loud(said: Iterable[Said]) -> list[Said]:
    return [one for one in said if one.severity in LOUD]


def _covers(other: Said, said: Said) -> bool:
    """Whether ``other`` says the same at the same place at least as loudly."""
    is_same = (other.code, other.where) == (said.code, said.where)
    return is_same and other.severity in LOUD and LOUD.index(other.severity) <= LOUD.index(said.severity)


def _touches(where: str, place: str) -> bool:
    """Same path, inside it or around it."""
    return where == place or where.startswith(f"{place}.") or place.startswith(f"{where}.")


def named_places(text: str, model: torch.nn.Module) -> list[str]:
    """Paths of ``model`` that a free text such as ``h.*.c_proj.weight (all)`` names.

    Words are compared with whole paths first and, when no word is one, with the ends of paths, then paths with the
    ends of words (the text may name the attribute that holds the model). Plain numbers (``rows 8..15``, modules of a
    Sequential) count only when nothing else in the text is a path.
    """
    paths = [name for name, _ in model.named_parameters(remove_duplicate=False)]
    paths += [name for name, _ in model.named_modules(remove_duplicate=False) if name]
    words = NAME.findall(_spell_out(text))
    for chosen in ([word for word in words if not word.isdigit()], words):
        for is_match in (_is_whole, _is_end, _is_held):
            found = [path for path in paths if any(is_match(path, word) for word in chosen)]
            if found:
                return list(dict.fromkeys(found))
    return []


def _spell_out(text: str) -> str:
    """``a.weight/bias`` is short for ``a.weight, a.bias``."""
    return re.sub(r"([\w*.]+)\.(\w+)/(\w+)(?![\w.])", r"\1.\2, \1.\3", text)


def _is_whole(path: str, word: str) -> bool:
    parts, wanted = path.split("."), word.split(".")
    if len(wanted) > 1 and wanted[0] == "*":  # any depth
        return len(parts) >= len(wanted) and _alike(parts[-len(wanted) + 1 :], wanted[1:])
    return word.strip("*.") != "" and len(parts) == len(wanted) and _alike(parts, wanted)


def _is_end(path: str, word: str) -> bool:
    return _is_whole(path, f"*.{word}") if "*" not in word else False


def _is_held(path: str, word: str) -> bool:
    parts, wanted = path.split("."), word.split(".")
    return 1 < len(parts) < len(wanted) and _alike(parts, wanted[-len(parts) :])


def _alike(parts: Sequence[str], wanted: Sequence[str]) -> bool:
    return all(fnmatchcase(part, pattern) for part, pattern in zip(parts, wanted, strict=True))


def score(file: Path) -> Score:
    """Run both checks of one case here, in this process."""
    from stepzero.api import check

    found = Score(file.stem.partition("_")[0], file.name)
    try:
        case = load(file)
        found.id, found.kind = case.META["id"], case.META["expected_kind"]
        found.severity = case.META.get("severity", "none")
        found.buggy, found.fixed = ([_cut(one) for one in check(make).findings] for make in (case.buggy, case.fixed))
        found.places = named_places(case.META["expected_where"], case.buggy()[0])
    except Exception as error:  # noqa: BLE001 - whatever it is, it is counted
        found.crash = f"{type(error).__name__}: {error}"
    return found


def load(file: Path) -> ModuleType:
    """The module of a case."""
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[file.stem] = module
    spec.loader.exec_module(module)
    return module


def _cut(finding: Any) -> Said:
    """Without the folders of this machine: files by name alone."""
    return Said(
        finding.code, finding.severity, list(finding.where), re.sub(r"/[\w./-]*/(?=[\w-]+\.py)", "", finding.message)
    )


def score_apart(file: Path) -> Score:
    """`score` in a forked child; one that dies or hangs is a crash of that case alone."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_child, args=(sender, file))
    child.start()
    sender.close()
    try:
        if receiver.poll(TIMEOUT):
            answer: Score = receiver.recv()
            return answer
        return Score(file.stem, file.name, crash=f"no answer within {TIMEOUT:.0f} s")
    except EOFError:
        child.join()
        return Score(file.stem, file.name, crash=f"the process died with exit code {child.exitcode}")
    finally:
        child.kill()
        child.join()


def _child(sender: Connection, file: Path) -> None:
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    sender.send(score(file))
    sender.close()


def totals(scores: Sequence[Score]) -> dict[str, Any]:
    """Recall and location over bugs, alarms over repairs; look-alikes count in both."""
    judged = [one for one in scores if not one.crash]
    placed = [one for one in judged if one.located is not None]
    return {
        "cases": len(scores),
        "crashes": len(scores) - len(judged),
        "detected": sum(one.detected for one in judged),
        "recall": _share(sum(one.detected for one in judged), len(scores)),
        "placed": len(placed),
        "located": sum(bool(one.located) for one in placed),
        "errors_on_fixed": sum(one.false_alarm for one in judged),
        "warnings_on_fixed": sum(one.warned for one in judged),
        "warned_share": _share(sum(one.warned for one in judged), len(scores)),
    }


def _share(part: int, whole: int) -> float:
    return round(part / whole, 3) if whole else 0.0


def summary(scores: Sequence[Score]) -> dict[str, dict[str, Any]]:
    """Totals of all cases, by expected severity and by group."""
    parts: dict[str, Callable[[Score], bool]] = {
        "all": lambda _: True,
        "error": lambda one: one.severity == "error",
        "error+warning": lambda one: one.severity in LOUD,
        "look-alikes": lambda one: one.severity == "none",
    }
    rows = {name: totals([one for one in scores if belongs(one)]) for name, belongs in parts.items()}
    groups = sorted({one.group for one in scores})
    return rows | {f"group {name}": totals([one for one in scores if one.group == name]) for name in groups}


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; 1 when a case crashed or a repaired model drew an error."""
    options = _parse(arguments)
    files = [file for file in sorted(options.folder.glob("*.py")) if not file.name.startswith("_")]
    if options.ids:
        files = [file for file in files if file.stem.partition("_")[0] in options.ids]
    if not files:
        raise SystemExit(f"no case in {options.folder}")
    torch.set_num_threads(1)
    scores = [_show(score_apart(file)) for file in files]
    _show_totals(scores)
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(_document(scores), indent=1) + "\n")
    return int(any(one.crash or one.false_alarm for one in scores))


def _show(one: Score) -> Score:
    codes = " ".join(sorted({f"{said.code}{said.severity[0].upper()}" for said in one.new})) or "-"
    where = {True: "located", False: "elsewhere", None: "-"}[one.located if one.detected else None]
    kept = _loud(one.fixed)
    alarm = " ".join(sorted({f"{said.code}{said.severity[0].upper()}" for said in kept}))
    said = f"CRASH {one.crash[:100]}" if one.crash else f"{'detected' if one.detected else 'missed':<9}{where:<10}"
    alarm = f" on fixed: {alarm}" if alarm else ""
    print(f"{one.id:<5}{one.group:<2}{one.kind:<26}{one.severity:<8}{said} {codes}{alarm}", flush=True)
    return one


def _show_totals(scores: Sequence[Score]) -> None:
    columns = ("cases", "detected", "recall", "placed", "located", "errors_on_fixed", "warnings_on_fixed", "crashes")
    print("\n" + f"{'':<14}" + "".join(f"{name.replace('_', ' '):>18}" for name in columns))
    for name, row in summary(scores).items():
        print(f"{name:<14}" + "".join(f"{row[column]:>18}" for column in columns))


def _document(scores: Sequence[Score]) -> dict[str, Any]:
    verdicts = ("group", "detected", "located", "false_alarm", "warned")
    rows = [{**asdict(one), **{name: getattr(one, name) for name in verdicts}} for one in scores]
    return {"machine": machine.describe(), "totals": summary(scores), "cases": rows}


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the case files are")
    parser.add_argument("--json", type=Path, help="where the scores go as JSON")
    parser.add_argument("--ids", nargs="*", default=[], help="only the cases with these ids")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
