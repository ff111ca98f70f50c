"""The shape of the source: what docs/ARCHITECTURE.md says must be absent is absent, and each check can fail."""

import re
from fnmatch import fnmatch

import pytest

from tests import structure
from tests.source import ROOT, Source, sources

SOURCES = sources()


@pytest.mark.parametrize("check", structure.CHECKS, ids=lambda check: check.__name__)
def test_the_source_is_in_shape(check):
    assert [f"{source.place}: {problem}" for source in SOURCES for problem in check(source)] == [], check.__doc__


@pytest.mark.parametrize(("pattern", "test"), structure.TESTED_BY.items())
def test_the_list_of_tests_elsewhere_is_true(pattern, test):
    assert any(fnmatch(source.place, pattern) for source in SOURCES)
    assert (ROOT / test).exists()


def test_nothing_is_awaited_that_has_come():
    assert list(structure.overdue()) == [], "take it off AWAITED"


def test_the_list_of_seeders_is_true(monkeypatch):
    seeders = set(structure.SEEDERS)
    monkeypatch.setattr(structure, "SEEDERS", {})
    assert seeders <= {source.place for source in SOURCES if list(structure.global_draw(source))}


@pytest.mark.parametrize("layer", ["probe", "repair", "verdict"])
def test_the_table_of_a_layer_names_its_files(layer):
    text = (ROOT / "docs" / "ARCHITECTURE.md").read_text(encoding="utf-8")
    rows = text.split(f"| file of `{layer}` |")[1].split("\n\n")[0].splitlines()[2:]
    heads = [name for row in rows for name in re.findall(r"`(\w+)`", row.split("|")[1])]
    files = {source.module.rpartition(".")[2] for source in SOURCES if source.place.startswith(f"{layer}/")} - {layer}
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert len(heads) == len(set(heads))
    assert (set(heads) - files, files - named) == (set(), set()), "docs/ARCHITECTURE.md and the tree differ"


def lines(count: int) -> str:
    return "\n".join(["    x = 1"] * count)


@pytest.mark.parametrize(
    ("check", "place", "text"),
    [
        (structure.long_file, "a.py", "\n" * 401),
        (structure.long_function, "a.py", f"def f():\n{lines(60)}"),
        (structure.drawer, "measure/utils.py", ""),
        (structure.drawer, "common/__init__.py", ""),
        (structure.stray_print, "api.py", "print(1)"),
        (structure.stray_print, "probe/a.py", "def f():\n    sys.stdout.write('x')"),
        (structure.global_draw, "a.py", "torch.randn(3)"),
        (structure.global_draw, "a.py", "torch.rand_like(x)"),
        (structure.global_draw, "a.py", "torch.manual_seed(0)"),
        (structure.global_draw, "a.py", "torch.random.manual_seed(0)"),
        (structure.global_draw, "a.py", "torch.default_generator.manual_seed(0)"),
        (structure.global_draw, "a.py", "torch.cuda.manual_seed_all(0)"),
        (structure.global_draw, "a.py", "f(x).normal_()"),
        (structure.global_draw, "a.py", "nn.init.xavier_uniform_(w)"),
        (structure.global_draw, "a.py", "random.shuffle(x)"),
        (structure.global_draw, "a.py", "np.random.randn(3)"),
        (structure.stray_write, "api.py", "p.data = x"),
        (structure.stray_write, "api.py", "p.data += 1"),
        (structure.stray_write, "probe/wake.py", "p.data.copy_(x)"),
        (structure.stray_write, "rules/a.py", "nn.init.zeros_(p)"),
        (structure.stray_write, "cli/a.py", "model.load_state_dict(state)"),
        (structure.stray_threshold, "rules/a.py", "if x > 0.5: pass"),
        (structure.stray_threshold, "rules/a.py", "if x <= 16 * y: pass"),
        (structure.silent_silence, "a.py", "x = 1  # noqa"),
        (structure.silent_silence, "a.py", "x = 1  # noqa: E501"),
        (structure.silent_silence, "a.py", "x = 1  # type: ignore[misc]"),
        (structure.silent_silence, "a.py", "x = 1  # type: ignore - since I say so"),
        (structure.untested, "core/nobody_tests_this.py", "x = 1"),
        (structure.untested, "core/unheard/__init__.py", "def f(): ..."),
    ],
)
def test_a_violation_is_seen(check, place, text):
    assert list(check(Source(place, text)))


@pytest.mark.parametrize(
    ("check", "place", "text"),
    [
        (structure.long_file, "a.py", "\n" * 400),
        (structure.long_function, "a.py", 'def f():\n    """' + "\n" * 100 + '    """\n' + lines(59)),
        (structure.drawer, "measure/common_fans.py", ""),
        (structure.stray_print, "cli/check.py", "print(1)"),
        (structure.stray_print, "api.py", "pprint(1)"),
        (structure.global_draw, "a.py", "torch.randn(3, generator=g)"),
        (structure.global_draw, "a.py", "torch.Generator().manual_seed(0)"),
        (structure.global_draw, "a.py", "x.uniform_(-1, 1, generator=g)"),
        (structure.global_draw, "a.py", "torch.nn.init.zeros_(w)"),
        (structure.global_draw, "a.py", "random.getstate()"),
        (structure.global_draw, "a.py", "np.random.default_rng(0)"),
        (structure.stray_write, "a.py", "y = p.data"),
        (structure.stray_write, "a.py", "x.add_(1)"),
        (structure.stray_write, "repair/apply.py", "p.data.copy_(x)"),
        (structure.stray_threshold, "rules/a.py", "if len(x) == 4 and y > limits.dead_error and z >= 2: pass"),
        (structure.stray_threshold, "probe/a.py", "if x > 0.5: pass"),
        (structure.silent_silence, "a.py", "x = 1  # noqa: E501 - a link has no break"),
        (structure.silent_silence, "a.py", "x = 1  # noqa: SIM118 - `in` looks elsewhere"),
        (structure.silent_silence, "a.py", "x = 1  # type: ignore[misc]  # torch states no type here"),
        (structure.untested, "core/vector.py", "x = 1"),
        (structure.untested, "core/unheard/__init__.py", ""),
    ],
)
def test_what_is_right_passes(check, place, text):
    assert list(check(Source(place, text))) == []
