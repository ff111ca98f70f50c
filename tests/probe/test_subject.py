"""Every form in which a model and a batch may come."""

import random
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from stepzero.core.errors import BatchError, TargetError
from stepzero.probe.subject import Batch, Subject, copied_batch, subject_of, unwrapped
from tests.probe.observing import seeded

MODEL = nn.Linear(4, 4)
X, Y = seeded(6, 4), torch.tensor([0, 1, 2, 3, 0, 1])


class Takes(nn.Module):
    """Forward with one required and one optional argument."""

    def forward(self, image: Tensor, mask: Tensor | None = None) -> Tensor:
        return image


class TakesAny(nn.Module):
    def forward(self, *images: Tensor, **more: Any) -> Tensor:
        return images[0]


def parts(subject: Subject) -> tuple[tuple[Any, ...], dict[str, Any], Any]:
    return subject.args, subject.kwargs, subject.target


FORMS = {
    "a tensor": (X, (X,), {}, None),
    "a tuple": ((X, Y), (X, Y), {}, None),
    "a list": ([X, Y], (X, Y), {}, None),
    "a dict": ({"image": X, "mask": Y}, (), {"image": X, "mask": Y}, None),
    "a Batch": (Batch(args=(X,), kwargs={"mask": Y}), (X,), {"mask": Y}, None),
    "a loader of tensors": ([[X], [Y]], (X,), {}, None),
    "an iterator of tuples": (iter([(X, Y), (Y, X)]), (X, Y), {}, None),
    "a loader of dicts": ([{"image": X}, {"image": Y}], (), {"image": X}, None),
    "a loader of Batches": (iter([Batch(args=(X,))]), (X,), {}, None),
}


@pytest.mark.parametrize("form", FORMS)
def test_forms_of_a_batch(form: str) -> None:
    batch, args, kwargs, target = FORMS[form]
    found = parts(subject_of(Takes(), batch))
    assert len(found[0]) == len(args)
    assert all(came is gone for came, gone in zip(found[0], args, strict=True))
    assert found[1] == kwargs
    assert found[2] is target


def test_a_pair_as_loaders_give_it_is_an_input_and_a_target() -> None:
    args, _, target = parts(subject := subject_of(MODEL, (X, Y)))
    assert args[0] is X
    assert target is Y
    assert subject.notes == ["target: the last of the batch's 2 items, because forward takes 1"]


def test_a_target_given_or_taken_by_forward_is_not_split_off() -> None:
    assert parts(subject_of(Takes(), (X, Y)))[2] is None
    assert parts(subject_of(TakesAny(), (X, Y, Y)))[2] is None
    args, _, target = parts(subject_of(MODEL, (X,), target=Y))
    assert (len(args), target is Y) == (1, True)


def loader(**settings: Any) -> DataLoader[Any]:
    return DataLoader(TensorDataset(X, Y), batch_size=2, **settings)


def test_a_loader_gives_its_first_batch() -> None:
    subject = subject_of(MODEL, loader())
    assert torch.equal(subject.args[0], X[:2])
    assert torch.equal(subject.target, Y[:2])
    assert "batch: the first of the loader" in subject.notes


@pytest.mark.parametrize("own", [True, False])
def test_looking_at_a_loader_changes_nothing_about_its_next_epoch(own: bool) -> None:
    generator = torch.Generator().manual_seed(7) if own else None
    shuffled = loader(shuffle=True, generator=generator)
    torch.manual_seed(3)
    expected = [batch[0] for batch in loader(shuffle=True, generator=torch.Generator().manual_seed(7) if own else None)]
    torch.manual_seed(3)
    state, python = torch.get_rng_state(), random.getstate()
    first = subject_of(MODEL, shuffled).args[0]
    assert torch.equal(torch.get_rng_state(), state)
    assert random.getstate() == python
    assert all(torch.equal(a, b[0]) for a, b in zip(expected, shuffled, strict=True))
    assert torch.equal(first, expected[0])


def test_the_generator_of_a_sampler_does_not_advance_either() -> None:
    generator = torch.Generator().manual_seed(5)
    sampler = torch.utils.data.RandomSampler(TensorDataset(X, Y), generator=generator)
    before = generator.get_state()
    subject_of(MODEL, DataLoader(TensorDataset(X, Y), batch_size=2, sampler=sampler))
    assert torch.equal(generator.get_state(), before)


def test_the_generator_inside_a_batch_sampler_does_not_advance_either() -> None:
    generator = torch.Generator().manual_seed(5)
    inner = torch.utils.data.RandomSampler(TensorDataset(X, Y), generator=generator)
    batches = torch.utils.data.BatchSampler(inner, batch_size=2, drop_last=False)
    before = generator.get_state()
    subject_of(MODEL, DataLoader(TensorDataset(X, Y), batch_sampler=batches))
    assert torch.equal(generator.get_state(), before)


class Drawing:
    """A loader whose batches are drawn from the global generators."""

    def __iter__(self) -> Any:
        while True:
            yield torch.rand(2, 4) * random.random()


def test_a_loader_that_draws_leaves_the_global_generators() -> None:
    state, python = torch.get_rng_state(), random.getstate()
    subject_of(MODEL, Drawing())
    assert torch.equal(torch.get_rng_state(), state)
    assert random.getstate() == python


REFUSED = {
    "none": (None, "got none"),
    "a number": (3, "got int"),
    "no batches": ([], "empty"),
    "an exhausted iterator": (iter([]), "empty"),
    "strings": (["a", "b"], "got str"),
    "an empty tensor": (torch.zeros(0, 4), "(0, 4)"),
    "a tuple without tensors": ((1, "a"), "at least one tensor"),
    "an empty dict": ({}, "at least one tensor"),
    "a loader of numbers": ([1, 2], "got int"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_batches_that_cannot_be_used_are_refused_in_one_line(name: str) -> None:
    batch, said = REFUSED[name]
    with pytest.raises(BatchError) as caught:
        subject_of(Takes(), batch)
    text = str(caught.value)
    assert text.startswith("batch: expected")
    assert said in text
    assert "\n" not in text


@pytest.mark.parametrize("model", [3, "model", None, nn.Linear, [nn.Linear(2, 2)]])
def test_a_model_that_is_none_is_refused(model: Any) -> None:
    with pytest.raises(TargetError, match=r"model: expected a torch\.nn\.Module, got "):
        subject_of(model, X)


@pytest.mark.parametrize("loss", [3, 0.5, ("mse",), torch.ones(2)])
def test_a_loss_that_cannot_be_called_is_refused(loss: Any) -> None:
    with pytest.raises(TargetError, match="loss: expected a callable or a name"):
        subject_of(MODEL, X, loss)


def test_inputs_are_named_as_the_forward_names_them() -> None:
    subject = subject_of(Takes(), Batch(args=([X, X],), kwargs={"mask": Y}))
    assert [name for name, _ in subject.named_inputs()] == ["image", "image[1]", "mask"]
    assert [name for name, _ in subject_of(TakesAny(), (X, X, X)).named_inputs()] == ["images", "args[1]", "args[2]"]


def test_wrappers_are_taken_off() -> None:
    inner = nn.Linear(4, 4)
    compiled = torch.compile(inner)
    assert unwrapped(compiled) is inner
    assert unwrapped(nn.DataParallel(compiled)) is inner
    subject = subject_of(nn.DataParallel(inner), X)
    assert (subject.model is inner, subject.name) == (True, "Linear")


def test_a_copied_batch_is_another_one() -> None:
    subject = subject_of(Takes(), Batch(args=(X,), kwargs={"mask": Y}))
    args, kwargs = copied_batch(subject)
    assert torch.equal(args[0], X)
    args[0].zero_()
    kwargs["mask"].zero_()
    assert (X != 0).any()
    assert (Y != 0).any()
