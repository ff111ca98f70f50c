"""Comments beside creating lines: which lines each speaks of, and what is no comment at all."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from stepzero.probe.build import build
from stepzero.probe.comments import comments

X = torch.ones(2, 4)


def read(tmp_path: Any, text: str, *created: int) -> list[tuple[str, tuple[str, ...], tuple[str, ...], str]]:
    file = tmp_path / "net.py"
    file.write_text(text)
    found = comments({"net.py": str(file)}, [f"net.py:{line}" for line in created])
    return [(each.at, each.lines, each.words, each.reason) for each in found]


@pytest.mark.parametrize(
    ("comment", "words", "reason"),
    [
        ("# stepzero: ignore[SZ401] frozen on purpose", ("SZ401",), "frozen on purpose"),
        ("#stepzero:ignore[SZ401,SZ3]", ("SZ401", "SZ3"), ""),
        ("# stepzero: ignore[dead-units, SZ401]: why", ("dead-units", "SZ401"), "why"),
        ("# noqa: E501 # stepzero: ignore[SZ401] - why", ("SZ401",), "why"),
        ("# stepzero: ignore", (), ""),
        ("# stepzero: ignore []", (), ""),
    ],
)
def test_a_comment_has_codes_and_a_reason(tmp_path: Any, comment: str, words: Any, reason: str) -> None:
    ((_, _, said, why),) = read(tmp_path, f"x = f()  {comment}\n", 1)
    assert (said, why) == (words, reason)


@pytest.mark.parametrize(
    "text", ["x = '# stepzero: ignore[SZ401]'", "x = f()  # stepzero: ignored", "x = f()  # ignore"]
)
def test_what_is_no_such_comment(tmp_path: Any, text: str) -> None:
    assert read(tmp_path, text + "\n", 1) == []


def test_a_comment_on_a_line_that_created_nothing_is_left_alone(tmp_path: Any) -> None:
    text = "x = f()  # stepzero: ignore[SZ1]\ny = f()\n"
    assert read(tmp_path, text, 2) == []


SPREAD = """\
net = Sequential(
    Linear(4, 8),  # stepzero: ignore[SZ201] one
    Linear(
        8,
        2,
    ),  # stepzero: ignore[SZ202] two
)  # stepzero: ignore[SZ203] three
"""


def test_a_comment_speaks_of_the_innermost_call_around_it(tmp_path: Any) -> None:
    told = {words[0]: lines for _, lines, words, _ in read(tmp_path, SPREAD, 1, 2, 3)}
    assert told == {
        "SZ201": ("net.py:2",),
        "SZ202": ("net.py:6", "net.py:3"),
        "SZ203": ("net.py:7", "net.py:1"),
    }


def test_text_that_is_no_python_has_no_comments(tmp_path: Any) -> None:
    assert read(tmp_path, "%magic (\nx = f()  # stepzero: ignore[SZ1]\n", 2) == []


def test_a_file_that_is_gone_has_none() -> None:
    assert comments({"gone.py": "/no/such/gone.py"}, ["gone.py:1"]) == ()


def test_a_change_between_two_checks_is_seen(tmp_path: Any) -> None:
    assert read(tmp_path, "x = f()  # stepzero: ignore[SZ1]\n", 1)
    assert read(tmp_path, "x = f()\n", 1) == []


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)  # stepzero: ignore[SZ302] narrow
        self.scale = nn.Parameter(torch.ones(4))

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x) * self.scale


def test_the_build_hands_them_to_the_trace() -> None:
    subject = build(lambda: (Net(), X))
    (comment,) = subject.comments
    assert comment.lines[0] == subject.source_lines["fc"]
    assert (comment.words, comment.reason) == (("SZ302",), "narrow")


def test_a_live_model_has_none() -> None:
    from stepzero.api import trace

    assert trace(Net(), X).comments == ()
    assert len(trace(lambda: (Net(), X)).comments) == 1
