"""Ask one rule about one model."""

from typing import Any

import torch
from torch import nn

import stepzero
from stepzero.core.finding import Finding


def ask(
    code: str, model: Any, batch: Any = None, loss: Any = None, target: Any = None, **options: Any
) -> list[Finding]:
    """Findings of the rule ``code`` alone; fails when it crashed."""
    report = stepzero.check(model, batch, loss, target, select=[code], **options)
    assert not [item for item in report.coverage.incomplete if "crashed" in item.why], report.coverage.incomplete
    return list(report.findings)


def severities(
    code: str, model: Any, batch: Any = None, loss: Any = None, target: Any = None, **options: Any
) -> list[str]:
    """Only how loudly it speaks, worst first."""
    return [finding.severity for finding in ask(code, model, batch, loss, target, **options)]


def reasons(code: str, model: Any, batch: Any, **options: Any) -> list[str]:
    """Why the rule could not judge."""
    report = stepzero.check(model, batch, select=[code], **options)
    return [item.why for item in report.coverage.not_judged]


def generator(seed: int = 0) -> torch.Generator:
    """A generator of the test's own."""
    return torch.Generator().manual_seed(seed)


def he(model: nn.Module) -> nn.Module:
    """Draw every linear and convolution by He's law, biases zero, from a fixed seed."""
    draw = generator()
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, generator=draw)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return model
