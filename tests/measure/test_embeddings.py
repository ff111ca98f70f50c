import pytest

import stepzero
from stepzero.measure.embeddings import meetings
from tests.rules.bias.test_embedding_scale_mismatch import IDS, Words


@pytest.mark.parametrize(
    ("kind", "other", "exact"), [("table", "places.weight", True), ("parameter", "places", True), ("buffer", "", False)]
)
def test_sizes_are_those_of_the_two_terms(kind, other, exact):
    model = Words(0.1, 0.3, scale=2.0, kind=kind)
    (found,) = meetings(stepzero.trace(model, IDS))
    assert (found.tokens, found.other, found.is_exact) == (("tokens.weight",), other, exact)
    assert found.token_rms == pytest.approx(float((2 * model.tokens(IDS)).detach().square().mean().sqrt()), rel=0.1)
    assert found.other_rms == pytest.approx(0.3, rel=0.15)
