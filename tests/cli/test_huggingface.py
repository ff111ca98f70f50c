"""hf:... targets: configuration classes and files, random weights, stand-in batches."""

import json
import os

import pytest
import torch

from stepzero.cli.target import resolve
from stepzero.core.errors import BatchError, TargetError

pytest.importorskip("transformers")


def hugging(text):
    try:
        return resolve(text)
    except TargetError as error:
        if "does not import" in str(error):
            pytest.skip(str(error))
        raise


def test_a_language_model_from_a_configuration_class_brings_its_own_loss():
    target = hugging("hf:GPT2Config(n_layer=1, n_embd=16, n_head=2, vocab_size=50)")
    assert target.is_stand_in
    assert "stand-in" in target.notes[0]
    assert target.batch["input_ids"].shape == (4, 64)
    assert torch.equal(target.batch["labels"], target.batch["input_ids"])
    model = target.subject()
    assert type(model).__name__ == "GPT2LMHeadModel"
    assert model(**target.batch).loss.ndim == 0


def test_the_stand_in_follows_the_seed():
    first, again, other = (resolve_gpt(seed).batch["input_ids"] for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def resolve_gpt(seed):
    hugging("hf:GPT2Config")
    return resolve("hf:GPT2Config(n_layer=1, vocab_size=50)", seed=seed)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("hf:BertConfig(num_hidden_layers=1, hidden_size=16, num_attention_heads=2)", "BertForMaskedLM"),
        ("hf:T5Config(num_layers=1, d_model=16, d_kv=8, num_heads=2, vocab_size=99)", "T5ForConditionalGeneration"),
        (
            "hf:ViTConfig(num_hidden_layers=1, hidden_size=16, num_attention_heads=2, image_size=32)",
            "ViTForImageClassification",
        ),
    ],
)
def test_the_class_made_for_the_task_is_picked_and_its_stand_in_runs(text, kind):
    target = hugging(text)
    model = target.subject()
    assert type(model).__name__ == kind
    assert model(**target.batch).loss.ndim == 0


def test_a_config_file_and_its_folder(folder):
    config = {"model_type": "gpt2", "architectures": ["GPT2Model"], "n_layer": 1, "n_embd": 8, "n_head": 1}
    (folder / "config.json").write_text(json.dumps({**config, "vocab_size": 11}))
    assert type(hugging("hf:./config.json").subject()).__name__ == "GPT2Model"
    assert type(hugging(f"hf:{folder}").subject()).__name__ == "GPT2Model"
    assert os.environ["HF_HUB_OFFLINE"] == "1"


WRONG_HF = {
    "hf:GPT3Config": "no configuration class 'GPT3Config' in transformers",
    "hf:gpt2": "nothing is downloaded",
    "hf:openai/gpt2": "hf: no file openai/gpt2; nothing is downloaded",
    "hf:GPT2Config(n_layers=2)": "has no setting 'n_layers'; did you mean 'n_layer'?",
    "hf:GPT2Config(n_layer='two')": "hf:GPT2Config:",
    "hf:GPT2Config(2)": "arguments are given by name",
    "hf:bad.json": "hf:bad.json: not JSON",
    "hf:typo.json": "model_type 'gtp2', unknown to transformers",
    "hf:untyped.json": "no model_type",
}


@pytest.mark.parametrize("text", WRONG_HF)
def test_each_wrong_configuration_is_told_in_one_line(folder, text):
    (folder / "bad.json").write_text("{")
    (folder / "typo.json").write_text('{"model_type": "gtp2"}')
    (folder / "untyped.json").write_text("{}")
    with pytest.raises(TargetError) as caught:
        hugging(text)
    assert WRONG_HF[text] in str(caught.value)
    assert "\n" not in str(caught.value)


def test_two_towers_get_pairs_and_their_own_loss():
    small = "{'num_hidden_layers': 1, 'hidden_size': 16, 'num_attention_heads': 2, 'intermediate_size': 16"
    text = small + ", 'vocab_size': 99, 'eos_token_id': 98}"
    vision = small + ", 'image_size': 32, 'patch_size': 16}"
    target = hugging(f"hf:CLIPConfig(text_config={text}, vision_config={vision}, projection_dim=8)")
    assert target.batch["pixel_values"].shape == (4, 3, 32, 32)
    assert target.subject()(**target.batch).loss.ndim == 0


def test_speech_gets_spectrograms():
    target = hugging(
        "hf:WhisperConfig(encoder_layers=1, decoder_layers=1, d_model=16, encoder_attention_heads=2, vocab_size=99, "
        "decoder_attention_heads=2, max_source_positions=50, pad_token_id=0, bos_token_id=1, eos_token_id=2, "
        "decoder_start_token_id=3)"
    )
    assert target.batch["input_features"].shape == (4, 80, 100)
    assert target.subject()(**target.batch).loss.ndim == 0


def test_a_model_of_no_common_kind_asks_for_a_batch():
    with pytest.raises(BatchError, match="no stand-in batch for this kind of model; pass --batch"):
        hugging("hf:PatchTSTConfig")
