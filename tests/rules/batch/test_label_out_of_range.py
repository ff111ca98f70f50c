import torch
import torch.nn.functional as F
from torch import nn

from tests.rules.ask import ask, generator, reasons, severities

X = torch.randn(64, 8, generator=generator(1))
NOISE = torch.randn(64, 1, generator=generator(2))


def net(outputs=1):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 32), nn.Tanh(), nn.Linear(32, outputs))


def said(target, loss="mse", model=None):
    return severities("SZ902", model or net(), X, loss, target)


def test_a_label_without_a_class_is_an_error_and_the_rest_is_still_judged():
    labels = torch.arange(64) % 5
    (finding,) = ask("SZ902", net(4), X, "cross_entropy", labels)
    assert (finding.severity, finding.value, finding.where) == ("error", 12.0, ("2.weight",))
    assert "12 labels are outside the 4 classes" in finding.message


def test_negative_labels_and_labels_by_the_log_likelihood_are_found():
    labels = torch.arange(64) % 4
    labels[3] = -1
    assert said(labels, "cross_entropy", net(4)) == ["error"]
    assert said(labels, lambda output, y: F.nll_loss(output.log_softmax(1), y), net(4)) == ["error"]
    assert said(labels, lambda output, y: F.cross_entropy(output, y, ignore_index=-1), net(4)) == []


def test_the_callers_labels_and_a_sound_loss_stay_as_they_are():
    labels = torch.arange(64) % 5
    before = labels.clone()
    ask("SZ902", net(4), X, "cross_entropy", labels)
    assert torch.equal(before, labels)


def test_a_mask_of_255_has_no_minimum():
    mask = (NOISE > 0).float()
    assert said(mask * 255, "bce_with_logits") == ["error"]
    assert said(mask * 2 - 1, "bce_with_logits") == ["error"]
    assert said(mask, "bce_with_logits") == []
    assert said(mask * 0.9 + 0.05, "bce_with_logits") == []


def test_raw_targets_warn():
    assert said(NOISE * 50) == ["warning"]
    assert said(NOISE * 0.001) == ["warning"]
    assert said(NOISE + 10) == ["warning"]
    assert said(NOISE * 50, "l1") == ["warning"]


# -- traps ----------------------------------------------------------------------------------------------------------


def test_standardised_targets_and_shares_are_silent():
    assert said(NOISE) == []
    assert said(torch.rand(64, 1, generator=generator(3)) * 0.1 + 0.85) == []


def test_a_head_scaled_to_its_targets_is_silent():
    model = net()
    with torch.no_grad():
        model[2].weight.mul_(50)
        model[2].bias.fill_(400.0)
    assert said(NOISE * 50 + 400, model=model) == []


def test_a_teachers_output_is_no_label():
    class Student(nn.Module):
        def __init__(self):
            super().__init__()
            self.student, self.teacher = net(), net()

        def forward(self, x):
            return self.student(x), self.teacher(x).detach() * 1000

    assert severities("SZ902", Student(), X, lambda pair: F.mse_loss(*pair)) == []


def test_a_constant_target_has_no_scale():
    assert said(torch.full((64, 1), 7.0)) == []


def test_few_samples_and_made_up_batches_are_not_judged():
    assert reasons("SZ902", net(), X[:4], loss="mse", target=NOISE[:4] * 50)
    assert reasons("SZ902", net(), X, loss="mse", target=NOISE * 50, batch_is_stand_in=True)
