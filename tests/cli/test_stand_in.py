"""Batches that are made up."""

import torch

from stepzero.cli.stand_in import images, keywords, tokens


def test_images_have_classes_only_when_there_are_some():
    made = images(3, (8, 9), 10, 0)
    assert made.batch.shape == (8, 3, 8, 9)
    assert made.target.dtype == torch.int64
    assert made.note == (
        "batch: 8x3x8x9 normally distributed random images with random labels of 10 classes, a stand-in for data"
    )
    assert images(3, (8, 9), None, 0).target is None


def test_draws_follow_the_seed():
    assert torch.equal(tokens(50, 7, 3), tokens(50, 7, 3))
    assert not torch.equal(tokens(50, 7, 3), tokens(50, 7, 4))
    assert tokens(50, 7, 3).shape == (4, 7)


def test_keywords_say_that_they_are_a_stand_in():
    assert keywords({"x": 1}, "one").note == "batch: one, a stand-in for data"
