"""Language models of transformers, shrunken to width 64 and two layers, each with the loss it computes itself.

A spec is data: the names of a configuration and a model class, and the keys that make it small. Shrinking the width
changes the start (a standard deviation of 0.02 suits width 768), so the ``*-wide`` members keep the published width
and cut only the depth: findings about scale count there.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from benchmarks.zoo import argued, inputs
from benchmarks.zoo.entry import Built, Entry
from benchmarks.zoo.schemas import define_torchvision_schemas

SMALL = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 512}
LLAMA = {**SMALL, "num_key_value_heads": 2, "intermediate_size": 128, "max_position_embeddings": 64}
BERT = {**SMALL, "intermediate_size": 128, "max_position_embeddings": 64}
BART = {
    "d_model": 64, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4, "decoder_attention_heads": 4,
    "encoder_ffn_dim": 128, "decoder_ffn_dim": 128, "vocab_size": 512, "max_position_embeddings": 64,
}  # fmt: skip
T5 = {"d_model": 64, "d_kv": 16, "d_ff": 128, "num_layers": 2, "num_heads": 4, "vocab_size": 512}
GPT2 = {"n_layer": 2, "vocab_size": 512, "bos_token_id": 1, "eos_token_id": 2}
WIDE = {"num_hidden_layers": 2, "vocab_size": 512}


@dataclass(frozen=True)
class Recipe:
    """Builds one transformers model from its configuration; nothing is downloaded."""

    config: str
    model: str
    batch: Callable[[torch.Generator], dict[str, Any]]
    keys: dict[str, Any]

    def __call__(self, generator: torch.Generator) -> Built:
        """Return the model in training mode, its batch with labels, and None: the output carries the loss."""
        define_torchvision_schemas()
        import transformers

        config = getattr(transformers, self.config)(**self.keys)
        model = getattr(transformers, self.model)(config).train()
        return model, self.batch(generator), None


def published(
    family: str,
    name: str,
    config: str,
    model: str,
    batch: Callable[[torch.Generator], dict[str, Any]],
    keys: dict[str, Any],
    *,
    is_short: bool = False,
    argument: dict[str, str] | None = None,
) -> Entry:
    """Make an entry from a spec."""
    return Entry("transformers", family, name, Recipe(config, model, batch, keys), is_short, argument or {})


def decoders() -> list[Entry]:
    """Causal language models: learned, rotary, ALiBi and no positions; dense, mixture of experts, state space."""
    make, lm = published, inputs.causal
    opt = {**SMALL, "ffn_dim": 128, "max_position_embeddings": 64, "word_embed_proj_dim": 64}
    return [
        make("decoder", "gpt2", "GPT2Config", "GPT2LMHeadModel", lm,
             {**GPT2, "n_embd": 64, "n_head": 4, "n_positions": 64}, is_short=True),
        make("decoder", "gpt2-wide", "GPT2Config", "GPT2LMHeadModel", lm, GPT2),
        make("decoder", "gpt_neox", "GPTNeoXConfig", "GPTNeoXForCausalLM", lm, BERT),
        make("decoder", "llama", "LlamaConfig", "LlamaForCausalLM", lm, LLAMA, is_short=True),
        make("decoder", "llama-wide", "LlamaConfig", "LlamaForCausalLM", lm,
             {**WIDE, "hidden_size": 1024, "intermediate_size": 2816, "num_attention_heads": 16}),
        make("decoder", "qwen2", "Qwen2Config", "Qwen2ForCausalLM", lm, LLAMA),
        make("decoder", "gemma2", "Gemma2Config", "Gemma2ForCausalLM", lm, {**LLAMA, "head_dim": 16}),
        make("decoder", "bloom", "BloomConfig", "BloomForCausalLM", lm,
             {"hidden_size": 64, "n_layer": 2, "n_head": 4, "vocab_size": 512}),
        make("decoder", "opt", "OPTConfig", "OPTForCausalLM", lm, opt),
        make("decoder", "phi", "PhiConfig", "PhiForCausalLM", lm, BERT),
        make("decoder", "cohere", "CohereConfig", "CohereForCausalLM", lm,
             {**LLAMA, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}),
        make("mixture", "mixtral", "MixtralConfig", "MixtralForCausalLM", lm,
             {**LLAMA, "num_local_experts": 4, "output_router_logits": True}, is_short=True),
        make("mixture", "qwen2_moe", "Qwen2MoeConfig", "Qwen2MoeForCausalLM", lm,
             {**LLAMA, "moe_intermediate_size": 64, "shared_expert_intermediate_size": 128, "num_experts": 4,
              "num_experts_per_tok": 2}),
        make("state-space", "mamba", "MambaConfig", "MambaForCausalLM", lm,
             {"hidden_size": 64, "num_hidden_layers": 2, "vocab_size": 512, "state_size": 8}),
        make("state-space", "mamba2", "Mamba2Config", "Mamba2ForCausalLM", lm,
             {"hidden_size": 64, "num_hidden_layers": 2, "vocab_size": 512, "state_size": 8, "num_heads": 8,
              "head_dim": 16, "n_groups": 1, "chunk_size": 8}),
        make("recurrent", "rwkv", "RwkvConfig", "RwkvForCausalLM", lm,
             {"hidden_size": 64, "num_hidden_layers": 2, "vocab_size": 512, "context_length": 64}),
    ]  # fmt: skip


def encoders() -> list[Entry]:
    """Masked language models: absolute, relative and rotary positions, shared layers, Fourier mixing, pooling."""
    make, mlm = published, inputs.masked
    return [
        make("encoder", "bert", "BertConfig", "BertForMaskedLM", mlm, BERT, is_short=True),
        make("encoder", "bert-wide", "BertConfig", "BertForMaskedLM", mlm, WIDE),
        make("encoder", "albert", "AlbertConfig", "AlbertForMaskedLM", mlm,
             {**BERT, "embedding_size": 32}, is_short=True),
        make("encoder", "electra", "ElectraConfig", "ElectraForMaskedLM", mlm, {**BERT, "embedding_size": 32}),
        make("encoder", "deberta-v2", "DebertaV2Config", "DebertaV2ForMaskedLM", mlm,
             {**BERT, "relative_attention": True, "pos_att_type": ["p2c", "c2p"], "position_buckets": 16}),
        make("encoder", "distilbert", "DistilBertConfig", "DistilBertForMaskedLM", mlm,
             {"dim": 64, "n_layers": 2, "n_heads": 4, "hidden_dim": 128, "vocab_size": 512}),
        make("encoder", "roformer", "RoFormerConfig", "RoFormerForMaskedLM", mlm, BERT),
        make("encoder", "mobilebert", "MobileBertConfig", "MobileBertForMaskedLM", mlm,
             {**BERT, "embedding_size": 32, "intra_bottleneck_size": 32, "true_hidden_size": 32}),
        make("encoder", "fnet", "FNetConfig", "FNetForMaskedLM", _without_mask,
             {"hidden_size": 64, "num_hidden_layers": 2, "intermediate_size": 128, "vocab_size": 512}),
        make("encoder", "funnel", "FunnelConfig", "FunnelForMaskedLM", mlm,
             {"block_sizes": [1, 1], "d_model": 64, "n_head": 4, "d_head": 16, "d_inner": 128, "vocab_size": 512},
             argument=argued.BY_MODEL["funnel"]),
        make("permutation", "xlnet", "XLNetConfig", "XLNetLMHeadModel", inputs.causal,
             {"d_model": 64, "n_layer": 2, "n_head": 4, "d_inner": 128, "vocab_size": 512}),
    ]  # fmt: skip


def encoder_decoders() -> list[Entry]:
    """Sequence to sequence: T5's unscaled attention, BART's post-norm, switch routing."""
    make, s2s = published, inputs.sequence_to_sequence
    return [
        make("encoder-decoder", "t5", "T5Config", "T5ForConditionalGeneration", s2s,
             {**T5, "decoder_start_token_id": 0}, is_short=True),
        make("encoder-decoder", "bart", "BartConfig", "BartForConditionalGeneration", s2s, BART),
        make("encoder-decoder", "mt5", "MT5Config", "MT5ForConditionalGeneration", s2s,
             {**T5, "decoder_start_token_id": 0}, argument=argued.BY_MODEL["mt5"]),
        make("mixture", "switch", "SwitchTransformersConfig", "SwitchTransformersForConditionalGeneration", s2s,
             {**T5, "num_experts": 4, "decoder_start_token_id": 0, "num_sparse_encoder_layers": 1,
              "num_sparse_decoder_layers": 1}),
    ]  # fmt: skip


def _without_mask(generator: torch.Generator) -> dict[str, Any]:
    """FNet mixes with a Fourier transform and takes no attention mask."""
    batch = inputs.masked(generator)
    del batch["attention_mask"]
    return batch
