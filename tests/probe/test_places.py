"""Places: their names, their samples, and the reach of a product against closed forms."""

import pytest
import torch

from stepzero.probe.places import MOST, Site, names_of, reach_of_product, rms, sample_of


def test_names_tell_places_of_one_module_apart():
    sites = [
        Site("a", 0, "linear", 0, "weighted"),
        Site("a", 0, "linear", 1, "weighted"),
        Site("b", 0, "mm", 0, "weighted"),
    ]
    assert list(names_of(sites).values()) == ["a linear", "a linear #2", "b"]


def test_small_tensors_are_kept_whole_and_large_ones_sampled():
    x = torch.randn(MOST + 1, generator=torch.Generator().manual_seed(0))
    assert torch.equal(sample_of(x[:9]), x[:9].double())
    assert torch.equal(sample_of(x), sample_of(x))
    assert rms(sample_of(x)) == pytest.approx(1.0, abs=0.02)


def test_nothing_has_no_size():
    assert rms(torch.zeros(0)) == 0.0


@pytest.mark.parametrize(
    ("function", "args"),
    [
        (torch.matmul, (torch.ones(2, 3, 5), torch.ones(2, 5, 4))),
        (torch.bmm, (torch.ones(2, 3, 5), torch.ones(2, 5, 4))),
        (torch.einsum, ("bhtd,bhsd->bhts", torch.ones(1, 2, 3, 5), torch.ones(1, 2, 4, 5))),
        (torch.einsum, ("td,sd->ts", [torch.ones(3, 5), torch.ones(4, 5)])),
    ],
)
def test_aligned_factors_reach_the_number_of_terms(function, args):
    assert reach_of_product(function, args) == pytest.approx(5.0)


def test_signs_do_not_matter():
    signs = torch.tensor([1.0, -1.0, 1.0, -1.0])[None]
    assert float(signs @ torch.ones(4, 1)) == 0.0
    assert reach_of_product(torch.matmul, (signs, torch.ones(4, 1))) == pytest.approx(4.0)


def test_other_products_have_no_reach():
    assert reach_of_product(torch.addmm, (torch.ones(2, 2), torch.ones(2, 2), torch.ones(2, 2))) is None
