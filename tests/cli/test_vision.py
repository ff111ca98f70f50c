"""timm:... and torchvision:... targets."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from stepzero.cli import vision
from stepzero.cli.target import resolve
from stepzero.core.errors import BatchError, TargetError


def resolved(text, **options):
    pytest.importorskip(text.partition(":")[0], exc_type=Exception)
    try:
        return resolve(text, **options)
    except TargetError as error:
        if "does not import" in str(error):
            pytest.skip(str(error))
        raise


def run(target):
    with torch.no_grad():
        return target.subject()(target.batch)


def test_a_timm_model_gets_images_of_its_native_size_and_labels():
    target = resolved("timm:resnet10t")
    assert target.batch.shape == (8, 3, 176, 176)
    assert target.target.shape == (8,)
    assert target.target.max() < 1000
    assert target.is_stand_in
    assert "8x3x176x176 normally distributed random images with random labels of 1000 classes" in target.notes[0]


def test_timm_arguments_reach_the_model_and_the_stand_in():
    target = resolved("timm:vit_tiny_patch16_224.augreg_in21k(img_size=32, num_classes=7, in_chans=1, depth=1)")
    assert target.batch.shape == (8, 1, 32, 32)
    assert run(target).shape == (8, 7)


def test_a_torchvision_model_gets_images_and_nothing_is_downloaded():
    target = resolved("torchvision:squeezenet1_1(num_classes=5)")
    assert target.batch.shape == (8, 3, 224, 224)
    assert target.target.max() < 5
    assert isinstance(target.subject(), nn.Module)


def test_a_segmentation_model_loads_no_backbone():
    assert isinstance(resolved("torchvision:lraspp_mobilenet_v3_large").subject(), nn.Module)


def test_sizes_of_other_families():
    assert resolved("torchvision:inception_v3").batch.shape == (8, 3, 299, 299)
    assert resolved("torchvision:r3d_18").batch.shape == (8, 3, 16, 112, 112)


def test_detection_asks_for_a_batch():
    with pytest.raises(BatchError, match="no stand-in batch for this kind of model; pass --batch"):
        resolved("torchvision:fasterrcnn_resnet50_fpn")
    assert resolved("torchvision:fasterrcnn_resnet50_fpn", batch="rand(1,3,64,64)").batch.shape == (1, 3, 64, 64)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("timm:resnet19", "no model 'resnet19' in timm; did you mean 'resnet1"),
        ("timm:zzzzzz", "no model 'zzzzzz' in timm; it has "),
        ("timm:hf_hub:timm/resnet18", "nothing is downloaded; give the name of an architecture"),
        ("timm:resnet18(pretrained=True)", "pretrained weights are not loaded"),
        ("timm:resnet18(10)", "arguments are given by name, as in timm:resnet18(num_classes=10)"),
        ("torchvision:resnet19", "no model 'resnet19' in torchvision; did you mean 'resnet1"),
        ("torchvision:resnet18(weights='DEFAULT')", "pretrained weights are not loaded"),
    ],
)
def test_each_wrong_name_is_told_in_one_line(text, said):
    with pytest.raises(TargetError) as caught:
        resolved(text)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_builder_that_refuses_its_arguments_is_told():
    with pytest.raises(TargetError, match="could not be built: TypeError"):
        resolved("timm:resnet18(no_such_thing=1)").subject()


def test_the_names_of_a_library_are_asked_of_it():
    fake = SimpleNamespace(is_model=lambda name: False, list_models=lambda: ["resnet18"])
    with pytest.raises(TargetError, match="no model 'resnet_18' in timm; did you mean 'resnet18'"):
        vision._timm(fake, "resnet_18", {}, 0)
