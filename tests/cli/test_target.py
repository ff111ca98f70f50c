"""TARGET strings: each form, and one line for each way of getting one wrong."""

import json
import sys

import pytest
import torch
from torch import nn

from stepzero.cli.target import resolve
from stepzero.core.errors import LossError, TargetError


def build(text, **options):
    """Resolve and call the factory."""
    target = resolve(text, **options)
    return target.subject if isinstance(target.subject, nn.Module) else target.subject()


# ---------------------------------------------------------------- the user's own code


@pytest.mark.parametrize(
    "text", ["app.mlp:build", "app/mlp.py:build", "./app/mlp.py:build", " app.mlp:build ", "app/relative.py:build"]
)
def test_a_factory_by_module_or_file(text):
    model, batch = build(text)
    assert type(model).__name__ == "Net"
    assert batch.shape == (3, 4)


def test_an_absolute_path(folder):
    assert isinstance(build(f"{folder}/app/mlp.py:build")[0], nn.Module)


def test_the_file_is_the_same_module_as_its_dotted_name():
    build("app/mlp.py:build")
    assert "app.mlp" in sys.modules


def test_a_file_named_like_a_standard_module_does_not_replace_it(folder):
    (folder / "json.py").write_text("from torch import nn\nbuild = lambda: nn.Linear(1, 1)\n")
    assert isinstance(build("json.py:build", batch="ones(1)"), nn.Linear)
    assert sys.modules["json"] is json


def test_literal_arguments_reach_a_class_and_a_function():
    assert build("app.mlp:Net(width=5, depth=2)", batch="ones(2,4)").fc.out_features == 5
    assert build("app.mlp:build(7)")[0].fc.out_features == 7
    assert build("app.mlp:build( )")[0].fc.out_features == 8


def test_a_colon_inside_the_arguments_is_not_the_separator(folder):
    (folder / "conf.py").write_text("from torch import nn\ndef make(sizes):\n    return nn.Linear(sizes['a:b'], 1)\n")
    assert build("conf.py:make({'a:b': 3})", batch="ones(1)").in_features == 3


def test_a_ready_model_is_passed_on_as_it_is():
    assert isinstance(resolve("app.mlp:ready", batch="ones(2,4)").subject, nn.Linear)


def test_the_factory_runs_only_when_called(folder):
    (folder / "lazy.py").write_text("def build():\n    open('ran', 'w').close()\n    raise ValueError\n")
    resolve("lazy:build")
    assert not (folder / "ran").exists()


def test_the_target_is_named_as_the_user_wrote_it():
    assert resolve("app.mlp:build(width=3)").name == "app.mlp:build(width=3)"


WRONG = {
    "app.mlp": "is of no known form; expected pkg.mod:factory",
    "": "is of no known form",
    "app.mlp:": "is of no known form",
    ":build": "is of no known form",
    "app-mlp:build": "'app-mlp' is neither a module such as pkg.mod nor a file",
    "app.mpl:build": "no module 'mpl' in package app; did you mean 'mlp'?",
    "ap.mlp:build": "no module 'ap' (of ap.mlp) in",
    "app.mlp:bulid": "no attribute 'bulid' in app.mlp; did you mean 'build'?",
    "app.mlp:zzzz": "no attribute 'zzzz' in app.mlp; it defines",
    "app.mlp:Net.mkae": "no attribute 'mkae' in app.mlp.Net",
    "app/mpl.py:build": "no file 'mpl.py' in",
    "nowhere/mlp.py:build": "the folder nowhere does not exist",
    "app/:build": "app is a folder, expected a Python file",
    "app.mlp:WIDTH": "app.mlp:WIDTH: is of type int; expected a function that returns a model",
    "app.mlp:ready( )": "ready is a model, not a function; leave the parentheses out",
    "app.mlp:needs": "app.mlp:needs(width): missing a required argument: 'width'",
    "app.mlp:build(wdith=3)": "got an unexpected keyword argument 'wdith'",
    "app.mlp:Net(width=n)": "app.mlp:Net(width=n): 'n' is not a literal",
    "app.mlp:Net(width=2*4)": "'2 * 4' is not a literal",
    "app.mlp:Net(__import__('os').getpid())": "is not a literal",
    "app.mlp:Net(**{'width': 1})": "`**` is not accepted",
    "app.mlp:Net(width=)": "not readable as Python arguments",
    "app.mlp:Net(1)(2)": "not readable as",
    "app.mlp:Net(width=4)": "is a class and brings no batch; pass one, as in --batch",
    "app.mlp:ready": "is a model and brings no batch; pass one, as in --batch",
    "app.mlp:bare": "app.mlp:bare returned a model without a batch; return (model, batch), or pass one",
    "app.mlp:nothing": "app.mlp:nothing returned None (is there a `return`?); expected a torch.nn.Module",
    "app.mlp:my_loss": "missing a required argument: 'output'",
    "app.mlp:loader": "returned an object of type list",
    "app.mlp:broken": "app.mlp:broken could not be built: KeyError: 'missing [attn] setting'",
    "app.mlp:leaves": "app.mlp:leaves could not be built: it called sys.exit(3)",
    "crash:build": "crash could not be imported: JSONDecodeError",
    "needy:build": "needy could not be imported: ModuleNotFoundError: No module named 'not_there_at_all'",
    "wrong.py:build": "wrong.py could not be imported: SyntaxError",
}


@pytest.mark.parametrize("text", WRONG, ids=lambda text: text or "empty")
def test_each_wrong_target_is_told_in_one_line(text):
    with pytest.raises(TargetError) as caught:
        build(text)
    assert WRONG[text] in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_missing_file_names_the_nearest():
    with pytest.raises(TargetError, match=r"did you mean 'mlp\.py'\?"):
        resolve("app/mpl.py:build")


def test_a_failed_import_leaves_no_half_module_behind():
    for _ in range(2):
        with pytest.raises(TargetError, match="JSONDecodeError"):
            resolve("./crash.py:build")
    assert "crash" not in sys.modules


def test_the_users_exception_is_the_cause():
    with pytest.raises(TargetError) as caught:
        build("app.mlp:broken")
    assert isinstance(caught.value.__cause__, KeyError)


# ---------------------------------------------------------------- --batch and --loss in place of what the factory gives


def test_a_batch_flag_is_a_stand_in_when_it_is_made_up():
    target = resolve("app.mlp:build", batch="zeros(2,4)")
    assert target.batch.shape == (2, 4)
    assert target.is_stand_in
    assert "stand-in" in target.notes[0]
    assert not resolve("app.mlp:build", batch="app.mlp:loader").is_stand_in


def test_a_loss_flag_is_imported():
    assert resolve("app.mlp:full", loss="app.mlp:my_loss").loss(torch.ones(3)) == 1


def test_a_loss_by_name_goes_on_as_it_is():
    assert resolve("app.mlp:build", loss="cross_entropy").loss == "cross_entropy"


def test_a_loss_class_is_made_with_its_literal_arguments():
    assert resolve("app.mlp:build", loss="app.mlp:Loss").loss(torch.ones(2)) == 1
    assert resolve("app.mlp:build", loss="app.mlp:Loss(scale=3.0)").loss(torch.ones(2)) == 3
    assert isinstance(resolve("app.mlp:build", loss="torch.nn:MSELoss").loss, nn.MSELoss)


def test_a_wrong_loss_is_told_in_one_line():
    with pytest.raises(TargetError, match=r"no attribute 'my_los' in app\.mlp; did you mean 'my_loss'\?"):
        resolve("app.mlp:build", loss="app.mlp:my_los")
    with pytest.raises(LossError, match="int is not callable"):
        resolve("app.mlp:build", loss="app.mlp:WIDTH")
    with pytest.raises(LossError, match="expected a name such as cross_entropy"):
        resolve("app.mlp:build", loss="a:b:(")


# ---------------------------------------------------------------- libraries


def test_a_missing_library_is_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for text in ("timm:resnet18", "torchvision:resnet18", "hf:GPT2Config"):
        with pytest.raises(TargetError, match="is not installed: pip install"):
            resolve(text)


def test_a_library_that_does_not_import_is_told_apart_from_a_missing_one(monkeypatch):
    def fail(name):
        raise RuntimeError("operator torchvision::nms does not exist\nmore")

    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    monkeypatch.setattr("importlib.import_module", fail)
    with pytest.raises(TargetError) as caught:
        resolve("torchvision:resnet18")
    assert "torchvision is installed but does not import: RuntimeError: operator torchvision::nms does not" in str(
        caught.value
    )
    assert "built for another torch" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("library", ["timm", "torchvision", "hf"])
def test_a_library_without_a_name_is_shown_an_example(library):
    with pytest.raises(TargetError, match=f"{library}: needs a name, as in {library}:"):
        resolve(f"{library}:")
