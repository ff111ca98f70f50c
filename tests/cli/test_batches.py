"""--batch: literal forms, files and loaders, and one line for each way of getting one wrong."""

import pytest
import torch

from stepzero.cli.batches import load
from stepzero.core.errors import TargetError


def test_one_literal_tensor_is_a_stand_in():
    batch, is_stand_in = load("randn(64,784)", seed=0)
    assert batch.shape == (64, 784)
    assert batch.dtype == torch.float32
    assert is_stand_in


@pytest.mark.parametrize(
    ("text", "shape", "dtype"),
    [
        ("randint(0,1000,(4,128))", (4, 128), torch.int64),
        ("randint(10,(3,))", (3,), torch.int64),
        (" rand( 2 , 3 ) ", (2, 3), torch.float32),
        ("zeros((2,3))", (2, 3), torch.float32),
        ("ones([5])", (5,), torch.float32),
        ("randn(2, 3, dtype=float64)", (2, 3), torch.float64),
        ("ones(2, dtype='torch.int32')", (2,), torch.int32),
    ],
)
def test_literal_forms(text, shape, dtype):
    batch, _ = load(text, seed=0)
    assert batch.shape == shape
    assert batch.dtype == dtype


def test_several_tensors_are_positional_arguments():
    (first, second), _ = load("randn(8,3), randint(0,5,(8,))", seed=0)
    assert first.shape == (8, 3)
    assert second.max() < 5


def test_keywords_are_keyword_arguments():
    batch, is_stand_in = load("input_ids=randint(0,50,(2,7)), attention_mask=ones(2,7)", seed=0)
    assert list(batch) == ["input_ids", "attention_mask"]
    assert is_stand_in


def test_draws_follow_the_seed_and_leave_the_global_generator_alone():
    before = torch.random.get_rng_state()
    first, again, other = (load("randn(4), rand(4)", seed=seed)[0] for seed in (0, 0, 1))
    assert torch.equal(first[0], again[0])
    assert not torch.equal(first[0], other[0])
    assert not torch.equal(first[0], first[1])
    assert torch.equal(before, torch.random.get_rng_state())


def test_torch_files_are_read_without_running_code(folder):
    torch.save({"x": torch.ones(2, 3)}, folder / "batch.pt")
    batch, is_stand_in = load("batch.pt", seed=0)
    assert batch["x"].shape == (2, 3)
    assert not is_stand_in


def test_safetensors_files(folder):
    pytest.importorskip("safetensors")
    from safetensors.torch import save_file

    save_file({"x": torch.ones(2, 3)}, folder / "b.safetensors")
    assert load("b.safetensors", seed=0)[0]["x"].shape == (2, 3)


def test_a_loader_function_is_called_and_an_iterable_is_passed_on():
    assert len(load("app.mlp:loader", seed=0)[0]) == 2
    assert len(load("app/mlp.py:loader()", seed=0)[0]) == 2


class Evil:
    def __reduce__(self):
        return (print, ("code from a file ran",))


WRONG = {
    "64,784": "is of no known form; expected pkg.mod:loader, randn(64,784)",
    "batch.npz": "is of no known form",
    "missing.pt": "no file missing.pt",
    "bach.pt": "no file bach.pt; did you mean 'batch.pt'?",
    "nowhere/x.safetensors": "no file nowhere/x.safetensors",
    "evil.pt": "not readable with weights_only=True",
    "text.pt": "not readable with weights_only=True",
    "strings.pt": "holds no tensor; expected a tensor, a tuple or a dict of tensors",
    "text.safetensors": "not a safetensors file",
    "rnadn(4)": "cannot make 'rnadn', only randn, rand, randint, zeros, ones; did you mean 'randn'?",
    "randn(n)": "'n' is not a literal",
    "randn(open('x'))": "is not a literal",
    "randn(4": "--batch randn(4: not readable as Python arguments: '(' was never closed",
    "randn(4,": "'(' was never closed",
    "randn(4, 4))": "not readable as",
    "randn('a')": "--batch randn('a'): ",
    "randn(-1)": "--batch randn(-1): ",
    "randn(0, 3)": "has no elements",
    "randn(4, device='cuda')": "unknown keyword 'device'; only dtype is accepted",
    "randn(4, dtype=flot32)": "no dtype 'flot32'; did you mean 'float32'?",
    "randn(100000, 100000)": "10,000,000,000 elements, at most",
    "x=4": "--batch 4: expected a call of randn",
    "x=randn(2), **{}": "`**` is not accepted",
    "app.mlp:laoder": "no attribute 'laoder' in app.mlp; did you mean 'loader'?",
    "app.mlp:empty": "gave None; expected a batch or an iterable of batches",
    "app.mlp:needs": "missing a required argument: 'width'",
    "app.mlp:broken": "--batch app.mlp:broken could not be made: KeyError",
    "ap.mlp:loader": "no module 'ap'",
}


@pytest.mark.parametrize("text", WRONG)
def test_each_wrong_batch_is_told_in_one_line(folder, text):
    torch.save(torch.ones(1), folder / "batch.pt")
    torch.save(Evil(), folder / "evil.pt")
    torch.save({"a": "b"}, folder / "strings.pt")
    (folder / "text.pt").write_text("not a batch")
    (folder / "text.safetensors").write_text("not a batch")
    with pytest.raises(TargetError) as caught:
        load(text, seed=0)
    assert WRONG[text] in str(caught.value)
    assert "\n" not in str(caught.value)


def test_code_in_a_file_does_not_run(folder, capsys):
    torch.save(Evil(), folder / "evil.pt")
    with pytest.raises(TargetError):
        load("evil.pt", seed=0)
    assert capsys.readouterr().out == ""
