"""Judges: pure functions from (Trace, Limits) to Findings. One folder a family, one file a rule, listed here.

A rule is imported when it is asked for: one page costs one import.
"""

import importlib
from typing import TYPE_CHECKING, Any

from stepzero.core.rule import Rule

HOMES = {
    "SZ101": "memory.non_finite_value",
    "SZ102": "memory.unwritten_memory",
    "SZ103": "memory.outlier_value",
    "SZ104": "memory.unmaterialised_tensor",
    "SZ105": "memory.unrepeatable_init",
    "SZ106": "memory.untouched_parameter",
    "SZ107": "memory.low_precision_draw",
    "SZ108": "memory.write_without_effect",
    "SZ109": "memory.special_init_overwritten",
    "SZ110": "memory.loaded_value_replaced",
    "SZ201": "symmetry.twin_units",
    "SZ202": "symmetry.lumped_units",
    "SZ203": "symmetry.equal_rows",
    "SZ204": "symmetry.proportional_units",
    "SZ205": "symmetry.low_effective_rank",
    "SZ206": "symmetry.constant_weight",
    "SZ207": "symmetry.identical_siblings",
    "SZ208": "symmetry.identical_heads",
    "SZ209": "symmetry.identical_layers",
    "SZ210": "symmetry.reused_draw",
    "SZ211": "symmetry.degenerate_router",
    "SZ212": "symmetry.identical_set_tokens",
    "SZ301": "signal.signal_drift",
    "SZ302": "signal.off_law_scale",
    "SZ303": "signal.saturated_units",
    "SZ304": "signal.linear_start",
    "SZ305": "signal.dead_units",
    "SZ306": "signal.offset_units",
    "SZ307": "signal.sharp_attention",
    "SZ308": "signal.residual_growth",
    "SZ309": "signal.width_slope",
    "SZ310": "signal.norm_off_identity",
    "SZ312": "signal.overflow_ahead",
    "SZ313": "signal.wrong_fan",
    "SZ314": "signal.layer_gain_off",
    "SZ315": "signal.narrow_deep_stack",
    "SZ317": "signal.misplaced_residual_scale",
    "SZ318": "signal.unusable_time_constants",
    "SZ319": "signal.mapped_value_off_range",
    "SZ320": "signal.slow_periodic_features",
    "SZ401": "gradient.gradient_drift",
    "SZ402": "gradient.stuck_parameter",
    "SZ403": "gradient.delayed_parameter",
    "SZ404": "gradient.slow_wake_up",
    "SZ405": "gradient.unused_parameter",
    "SZ406": "gradient.cut_gradient",
    "SZ407": "gradient.update_out_of_band",
    "SZ408": "gradient.unbalanced_updates",
    "SZ409": "gradient.epsilon_floor",
    "SZ410": "gradient.first_step_rise",
    "SZ411": "gradient.sharp_start",
    "SZ412": "gradient.ill_conditioned_kernel",
    "SZ501": "output.loud_head",
    "SZ502": "output.one_class_start",
    "SZ503": "output.head_ignores_base_rate",
    "SZ504": "output.off_target_regression",
    "SZ505": "output.double_activation",
    "SZ506": "output.constant_output",
    "SZ507": "output.input_independent_output",
    "SZ508": "output.loss_grows_with_batch",
    "SZ509": "output.committed_policy",
    "SZ510": "output.non_finite_loss",
    "SZ601": "bias.dominant_bias",
    "SZ602": "bias.bias_behind_dead_units",
    "SZ603": "bias.redundant_parameter",
    "SZ604": "bias.short_memory_gate",
    "SZ605": "bias.embedding_scale_mismatch",
    "SZ606": "bias.live_padding_row",
    "SZ608": "bias.zero_bias_low_dimensional_relu",
    "SZ609": "bias.equal_token_rows",
    "SZ701": "structure.dead_product",
    "SZ702": "structure.adapter_off_identity",
    "SZ703": "structure.closed_gate",
    "SZ704": "structure.optimizer_mismatch",
    "SZ705": "structure.broken_tie",
    "SZ706": "structure.inconsistent_siblings",
    "SZ707": "structure.broken_identity_start",
    "SZ801": "distributed.identical_shards",
    "SZ802": "distributed.diverged_replicas",
    "SZ805": "distributed.unreadable_shard",
    "SZ901": "batch.raw_input",
    "SZ902": "batch.label_out_of_range",
    "SZ903": "batch.batch_mixing",
    "SZ904": "batch.future_leak",
    "SZ905": "batch.weak_batch",
    "SZ906": "batch.unused_suppression",
    "SZ907": "batch.skipped_module",
    "SZ908": "batch.seed_dependent_verdict",
}
"""Every rule by code: its family and file. The file is called like the rule, with underscores."""

if TYPE_CHECKING:
    ALL: tuple[Rule, ...]
    """Every rule, by code."""


def names() -> dict[str, str]:
    """Every rule's name by its code; imports none."""
    return {code: home.rpartition(".")[2].replace("_", "-") for code, home in HOMES.items()}


def load(code: str) -> Rule:
    """Import one rule by its code; `KeyError` when there is none."""
    home = HOMES[code]
    loaded: Rule = getattr(importlib.import_module(f"{__name__}.{home}"), home.rpartition(".")[2])
    return loaded


def __getattr__(name: str) -> Any:
    """Import all rules when ``ALL`` is first asked for (PEP 562)."""
    if name != "ALL":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    loaded = tuple(load(code) for code in HOMES)
    globals()["ALL"] = loaded
    return loaded
