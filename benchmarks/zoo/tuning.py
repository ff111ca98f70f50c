"""Adapters of peft on a frozen Llama: products with one zero factor, scales of one, orthogonal turns, prefixes."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from benchmarks.zoo import argued, inputs, text
from benchmarks.zoo.entry import Built, Entry


@dataclass(frozen=True)
class Adapted:
    """Wraps a small frozen Llama in one adapter of peft."""

    kind: str
    keys: dict[str, Any] = field(default_factory=dict)

    def __call__(self, generator: torch.Generator) -> Built:
        """Return the adapted model in training mode, a batch of sentences, and None: the output carries the loss."""
        import peft

        base, batch, _ = text.Recipe(
            "LlamaConfig", "LlamaForCausalLM", inputs.causal, {**text.LLAMA, "num_key_value_heads": 4}
        )(generator)
        config = getattr(peft, self.kind)(task_type="CAUSAL_LM", **self.keys)
        model: nn.Module = peft.get_peft_model(base, config)
        return model.train(), batch, None


def peft_models() -> list[Entry]:
    """One entry an adapter and start."""

    def make(name: str, kind: str, **keys: Any) -> Entry:
        argument = argued.BY_MODEL.get(name, {})
        return Entry("peft", "adapter", name, Adapted(kind, keys), argued=argument, is_light=True, seconds=0.05)

    to: dict[str, Any] = {"target_modules": ["q_proj", "v_proj"]}
    return [
        make("LoRA", "LoraConfig", r=4, **to),
        make("LoRA-gaussian", "LoraConfig", r=4, init_lora_weights="gaussian", **to),
        make("LoRA-orthogonal", "LoraConfig", r=4, init_lora_weights="orthogonal", **to),
        make("LoRA-pissa", "LoraConfig", r=4, init_lora_weights="pissa", **to),
        make("LoRA-olora", "LoraConfig", r=4, init_lora_weights="olora", **to),
        make("LoRA-bias", "LoraConfig", r=4, bias="all", **to),
        make("DoRA", "LoraConfig", r=4, use_dora=True, **to),
        make("rsLoRA", "LoraConfig", r=4, use_rslora=True, **to),
        make("LoRA-head", "LoraConfig", r=4, modules_to_save=["lm_head"], **to),
        make("AdaLoRA", "AdaLoraConfig", total_step=100, **to),
        make("IA3", "IA3Config", target_modules=["k_proj", "v_proj", "down_proj"], feedforward_modules=["down_proj"]),
        make("VeRA", "VeraConfig", r=4, **to),
        make("LoHa", "LoHaConfig", r=4, **to),
        make("LoKr", "LoKrConfig", r=4, **to),
        make("OFT", "OFTConfig", oft_block_size=16, **to),
        make("BOFT", "BOFTConfig", boft_block_size=4, **to),
        make("HRA", "HRAConfig", r=4, **to),
        make("FourierFT", "FourierFTConfig", n_frequency=64, **to),
        make("VBLoRA", "VBLoRAConfig", num_vectors=16, vector_length=16, r=4, topk=2, **to),
        make("LNTuning", "LNTuningConfig", target_modules=["input_layernorm", "post_attention_layernorm"]),
        make("Prefix", "PrefixTuningConfig", num_virtual_tokens=4),
        make("PromptTuning", "PromptTuningConfig", num_virtual_tokens=4),
        make("P-Tuning", "PromptEncoderConfig", num_virtual_tokens=4, encoder_hidden_size=32),
        make("MiSS", "MissConfig", r=4, **to),
        make("RandLoRA", "RandLoraConfig", r=4, **to),
        make("C3A", "C3AConfig", block_size=16, **to),
    ]
