"""Makes any configuration of transformers small: width 64, two layers, four heads, 512 tokens, 64 pixels.

Works on the names that configurations share, at every level of nesting. Nothing here knows a model type: a type that
needs more than this is not in the zoo, or is built by hand in `text` and `senses`.

`narrow` cuts everything and so changes the start: a standard deviation of 0.02 suits width 768, and at width 64 every
signal is 3.5 times too small. `shallow` cuts depth, vocabulary and experts only, and keeps the published width.
"""

from collections.abc import Callable, Iterable
from typing import Any

WIDTH, HEADS, KV_HEADS, HEAD, INNER, LAYERS, VOCABULARY, IMAGE, PATCH = 64, 4, 2, 16, 128, 2, 512, 64, 16

Sizes = dict[str, Any]


def _each(value: Any, *names: str) -> Sizes:
    return dict.fromkeys(names, value)


DEPTHS: Sizes = {
    **_each(LAYERS, *"""num_hidden_layers n_layer n_layers num_layers encoder_layers decoder_layers depth layers
            num_encoder_layers num_decoder_layers decoder_num_hidden_layers num_hidden_layers_decoder num_blocks
            num_decoder_blocks entity_num_hidden_layers resampler_depth num_block_records qformer_num_hidden_layers
            predictor_num_hidden_layers num_local_layers""".split()),
    **_each(1, *"""num_sparse_encoder_layers num_sparse_decoder_layers first_k_dense_replace num_nextn_predict_layers
            num_mtp_layers num_dense_layers moe_layer_start_index""".split()),
}  # fmt: skip
EXPERTS: Sizes = {
    **_each(4, *"""num_experts n_routed_experts num_local_experts moe_num_experts expert_num""".split()),
    **_each(2, *"""num_experts_per_tok moe_k num_experts_per_token top_k_experts moe_topk""".split()),
    **_each(1, "n_group", "topk_group", "n_shared_experts", "num_expert_groups"),
}  # fmt: skip
WORDS: Sizes = _each(VOCABULARY, *"vocab_size text_vocab_size decoder_vocab_size vocab_size_per_layer_input".split())
WIDTHS: Sizes = {
    **_each(WIDTH, *"""hidden_size d_model n_embd embed_dim embedding_size dim hidden_dim out_hidden_size projection_dim
            encoder_hidden_size decoder_hidden_size output_dim word_embed_proj_dim text_hidden_size embedding_dim
            qformer_hidden_size attention_hidden_size mamba_hidden_size lru_width projection_size q_lora_rank
            neck_hidden_size fusion_hidden_size classifier_proj_size vision_embed_dim proj_dim pred_hidden_size
            decoder_embed_dim d_embed projector_hidden_size decoder_input_dim share_embedding_dim entity_emb_size
            true_hidden_size intra_bottleneck_size embedding_hidden_size""".split()),
    **_each(HEADS, *"""num_attention_heads n_head n_heads num_heads encoder_attention_heads decoder_attention_heads
            attention_heads decoder_num_attention_heads num_attention_heads_decoder index_n_heads mamba_n_heads
            linear_num_value_heads linear_num_key_heads qformer_num_attention_heads num_query_heads
            predictor_num_attention_heads num_linear_key_value_heads mamba_num_heads""".split()),
    **_each(KV_HEADS, *"num_key_value_heads num_kv_heads n_head_kv multi_query_group_num".split()),
    **_each(HEAD, *"""head_dim d_head d_kv kv_channels v_head_dim qk_nope_head_dim qk_rope_head_dim index_head_dim
            linear_key_head_dim linear_value_head_dim qkv_channels attention_head_dim global_head_dim
            attention_head_size state_size mamba_d_state ssm_state_size query_pre_attn_scalar
            kv_lora_rank""".split()),
    **_each(INNER, *"""intermediate_size encoder_ffn_dim decoder_ffn_dim ffn_dim d_ff mlp_dim n_inner d_inner
            moe_intermediate_size ffn_hidden_size decoder_intermediate_size inner_dim shared_expert_intermediate_size
            intermediate_size_mlp dense_intermediate_size qformer_intermediate_size mlp_hidden_size
            moe_shared_expert_intermediate_size shared_intermediate_size feed_forward_size dim_feedforward
            predictor_hidden_size expert_intermediate_size""".split()),
    **_each(32, *"""mamba_head_dim mamba_d_head qk_head_dim num_conv_pos_embeddings hidden_size_per_layer_input
            embed_dim_per_head""".split()),
    **_each(8, "chunk_size", "mamba_chunk_size", "num_mem_blocks"),
}  # fmt: skip
SCALARS: Sizes = {
    **_each(IMAGE, "image_size", "img_size", "input_size", "pretrain_image_size"),
    **_each(PATCH, "patch_size"),
    **_each(256, *"max_position_embeddings n_positions max_source_positions max_target_positions n_ctx".split()),
    **_each(512, "max_2d_position_embeddings"),
    **_each(80, "num_mel_bins"),
    **_each(4, "num_conv_pos_embedding_groups", "window_size"),
}  # fmt: skip
TOKENS: Sizes = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1,
                 "image_token_id": 3, "image_token_index": 3, "mask_token_id": 5, "sep_token_id": 2,
                 "cls_token_id": 1, "unk_token_id": 4}  # fmt: skip
SPECIAL = 7
"""Other special tokens: below the first id that batches draw."""
LISTED_WIDTHS = ("hidden_sizes", "embed_dim", "embed_dims", "dims", "neck_hidden_sizes")
LISTED_DEPTHS = ("depths", "num_layers", "layers", "num_blocks", "depth")
LISTED_HEADS = ("num_heads", "num_attention_heads", "num_key_value_heads", "attention_heads")
LAYER_KINDS = ("layer_types", "mlp_layer_types", "layers_block_type", "block_types")


def narrow(config: Any) -> Sizes:
    """Keys for the class of ``config`` that make it as small as it goes; nested configurations are nested dicts."""
    return _walk(config.to_dict(), _narrowed)


def shallow(config: Any) -> Sizes:
    """Keys that cut depth, vocabulary and experts, and leave every width, head and image as published."""
    return _walk(config.to_dict(), _cut_short)


def _walk(values: Sizes, change: Callable[[str, Any], Any]) -> Sizes:
    kept: Sizes = {}
    for key, value in values.items():
        if isinstance(value, dict) and key.endswith("config") and value:
            nested = _walk(value, change)
            kept[key] = {**nested, **({"model_type": value["model_type"]} if value.get("model_type") else {})}
        elif (new := change(key, value)) is not None and new != value:
            kept[key] = new
    return {**kept, **_agreeing(values, kept)}


def _cut_short(key: str, value: Any) -> Any:
    if key == "use_cache":
        return False
    if key.endswith(("_token_id", "_token_index")):
        return _token(key, value)
    for table in (DEPTHS, EXPERTS, WORDS):
        if key in table:
            return _capped(value, table[key])
    if key in LISTED_DEPTHS and _is_numbers(value):
        return [min(each, 1) for each in value]
    return None


def _narrowed(key: str, value: Any) -> Any:
    if key in LISTED_HEADS and _is_numbers(value):
        return _halves([min(each, HEADS) for each in value])
    if key in LISTED_WIDTHS and _is_numbers(value):
        return [16 * 2 ** min(place, 3) for place in range(len(value))]
    short = _cut_short(key, value)
    if short is not None:
        return short
    for table in (WIDTHS, SCALARS):
        if key in table:
            return _capped(value, table[key])
    if key == "conv_dim" and _is_numbers(value):
        return [32] * len(value)
    return None


def _halves(heads: list[int]) -> list[int]:
    return [min(each, 2**place) for place, each in enumerate(heads)]


def _token(key: str, value: Any) -> Any:
    if isinstance(value, list):
        return TOKENS.get(key, SPECIAL)
    return TOKENS.get(key, SPECIAL) if isinstance(value, int) and value >= 0 else None


def _capped(value: Any, limit: int) -> Any:
    """The smaller of the two; what is not a number stays, and so do pairs (they are sizes with an order of axes)."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
        return [limit] * len(value) if _is_numbers(value) and len(set(value)) == 1 else None
    return type(value)(min(value, limit))


def _agreeing(values: Sizes, kept: Sizes) -> Sizes:
    """Keys that have to agree with others: heads of keys with those of queries, rotary sections, kinds of layers."""
    found: Sizes = {}
    if values.get("num_key_value_heads") == values.get("num_attention_heads") and "num_key_value_heads" in kept:
        found["num_key_value_heads"] = kept.get("num_attention_heads", HEADS)
    rope = values.get("rope_parameters") or values.get("rope_scaling")
    if isinstance(rope, dict) and "mrope_section" in rope and "hidden_size" in kept:
        found["rope_parameters"] = {**rope, "mrope_section": [2, 3, 3]}
    for key in LAYER_KINDS:
        if isinstance(values.get(key), list) and "num_hidden_layers" in kept:
            found[key] = _one_of_each(values[key])
    return found


def _one_of_each(kinds: list[Any]) -> list[Any]:
    """The first layer of each kind, as many as there are layers left."""
    distinct = list(dict.fromkeys(kinds))
    return (distinct * LAYERS)[:LAYERS]


def _is_numbers(value: Any) -> bool:
    return isinstance(value, Iterable) and bool(value) and all(isinstance(each, int | float) for each in value)
