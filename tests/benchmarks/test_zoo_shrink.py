"""Configurations cut down: what must agree still does, and nothing else changes."""

import pytest

from benchmarks.zoo import heads, shrink
from benchmarks.zoo.argued import FAINT_CODES, by_config

transformers = pytest.importorskip("transformers")


def test_narrow_cuts_every_size_and_keeps_heads_whole():
    config = transformers.LlamaConfig()
    small = transformers.LlamaConfig(**shrink.narrow(config))
    assert (small.hidden_size, small.num_hidden_layers, small.vocab_size) == (64, 2, 512)
    assert small.num_key_value_heads == small.num_attention_heads  # as published
    assert small.hidden_size % small.num_attention_heads == 0
    assert max(small.bos_token_id, small.eos_token_id) < 8
    assert small.initializer_range == config.initializer_range


def test_grouped_keys_stay_fewer_than_queries():
    small = transformers.Qwen2Config(**shrink.narrow(transformers.Qwen2Config(num_key_value_heads=4)))
    assert small.num_key_value_heads < small.num_attention_heads


def test_shallow_keeps_the_published_width():
    config = transformers.BertConfig()
    cut = transformers.BertConfig(**shrink.shallow(config))
    assert (cut.hidden_size, cut.intermediate_size) == (config.hidden_size, config.intermediate_size)
    assert (cut.num_hidden_layers, cut.vocab_size) == (2, 512)


def test_nested_configurations_are_cut_as_well():
    keys = shrink.narrow(transformers.CLIPConfig())
    assert keys["text_config"]["hidden_size"] == keys["vision_config"]["hidden_size"] == 64
    assert keys["vision_config"]["model_type"] == "clip_vision_model"


def test_one_layer_of_each_kind_is_left():
    kinds = ["linear", "linear", "linear", "full"] * 4
    assert shrink._one_of_each(kinds) == ["linear", "full"]
    assert shrink._one_of_each(["full"] * 9) == ["full", "full"]


def test_the_first_head_of_an_encoder_fills_in_words_and_that_of_a_decoder_goes_on():
    assert next(heads.heads_of("bert")) == ("BertForMaskedLM", "masked")
    assert next(heads.heads_of("llama")) == ("LlamaForCausalLM", "causal")
    assert list(heads.heads_of("no such type")) == []


def test_only_a_configuration_that_draws_next_to_nothing_is_argued_for_by_its_numbers():
    small = shrink.narrow(transformers.BertConfig())
    faint = transformers.BertModel(transformers.BertConfig(**small, initializer_range=1e-10))
    assert tuple(by_config(faint)) == FAINT_CODES
    assert by_config(transformers.BertModel(transformers.BertConfig(**small))) == {}
