from stepzero.measure.modules import alike, topmost

EVERYONE = ["stem.weight", "head.a.weight", "head.a.bias", "head.b.weight", "scale"]


def test_whole_modules_become_one():
    assert topmost(["head.a.weight", "head.a.bias", "head.b.weight"], EVERYONE) == {
        "head": ["head.a.weight", "head.a.bias", "head.b.weight"]
    }


def test_a_part_of_a_module_does_not():
    assert topmost(["head.a.weight", "head.a.bias"], EVERYONE) == {"head.a": ["head.a.weight", "head.a.bias"]}
    assert topmost(["head.a.bias", "scale"], EVERYONE) == {"head.a.bias": ["head.a.bias"], "scale": ["scale"]}


def test_everything_is_the_model():
    assert topmost(EVERYONE, EVERYONE) == {"": EVERYONE}
    assert topmost([], EVERYONE) == {}


def test_a_module_with_one_parameter_is_named_by_it():
    assert topmost(["stem.weight"], EVERYONE) == {"stem.weight": ["stem.weight"]}


def test_alike_differ_in_numbers_only():
    assert alike(["h.0.a", "h.1.a", "h.0.b", "z"]) == [["h.0.a", "h.1.a"], ["h.0.b"], ["z"]]
