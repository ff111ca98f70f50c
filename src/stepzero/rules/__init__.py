"""Judges: pure functions from (Trace, Limits) to Findings. One folder a family, one file a rule, listed here."""

from stepzero.core.rule import Rule
from stepzero.rules.batch.label_out_of_range import label_out_of_range
from stepzero.rules.batch.raw_input import raw_input
from stepzero.rules.batch.skipped_module import skipped_module
from stepzero.rules.bias.bias_behind_dead_units import bias_behind_dead_units
from stepzero.rules.bias.dominant_bias import dominant_bias
from stepzero.rules.bias.embedding_scale_mismatch import embedding_scale_mismatch
from stepzero.rules.bias.equal_token_rows import equal_token_rows
from stepzero.rules.bias.live_padding_row import live_padding_row
from stepzero.rules.bias.redundant_parameter import redundant_parameter
from stepzero.rules.bias.short_memory_gate import short_memory_gate
from stepzero.rules.bias.zero_bias_low_dimensional_relu import zero_bias_low_dimensional_relu
from stepzero.rules.distributed.identical_shards import identical_shards
from stepzero.rules.gradient.cut_gradient import cut_gradient
from stepzero.rules.gradient.delayed_parameter import delayed_parameter
from stepzero.rules.gradient.epsilon_floor import epsilon_floor
from stepzero.rules.gradient.gradient_drift import gradient_drift
from stepzero.rules.gradient.slow_wake_up import slow_wake_up
from stepzero.rules.gradient.stuck_parameter import stuck_parameter
from stepzero.rules.gradient.unbalanced_updates import unbalanced_updates
from stepzero.rules.gradient.unused_parameter import unused_parameter
from stepzero.rules.gradient.update_out_of_band import update_out_of_band
from stepzero.rules.memory.low_precision_draw import low_precision_draw
from stepzero.rules.memory.non_finite_value import non_finite_value
from stepzero.rules.memory.outlier_value import outlier_value
from stepzero.rules.memory.special_init_overwritten import special_init_overwritten
from stepzero.rules.memory.unmaterialised_tensor import unmaterialised_tensor
from stepzero.rules.memory.unrepeatable_init import unrepeatable_init
from stepzero.rules.memory.untouched_parameter import untouched_parameter
from stepzero.rules.memory.unwritten_memory import unwritten_memory
from stepzero.rules.memory.write_without_effect import write_without_effect
from stepzero.rules.output.constant_output import constant_output
from stepzero.rules.output.double_activation import double_activation
from stepzero.rules.output.head_ignores_base_rate import head_ignores_base_rate
from stepzero.rules.output.input_independent_output import input_independent_output
from stepzero.rules.output.loud_head import loud_head
from stepzero.rules.output.non_finite_loss import non_finite_loss
from stepzero.rules.output.off_target_regression import off_target_regression
from stepzero.rules.signal.dead_units import dead_units
from stepzero.rules.signal.mapped_value_off_range import mapped_value_off_range
from stepzero.rules.signal.misplaced_residual_scale import misplaced_residual_scale
from stepzero.rules.signal.narrow_deep_stack import narrow_deep_stack
from stepzero.rules.signal.norm_off_identity import norm_off_identity
from stepzero.rules.signal.off_law_scale import off_law_scale
from stepzero.rules.signal.offset_units import offset_units
from stepzero.rules.signal.overflow_ahead import overflow_ahead
from stepzero.rules.signal.residual_growth import residual_growth
from stepzero.rules.signal.saturated_units import saturated_units
from stepzero.rules.signal.sharp_attention import sharp_attention
from stepzero.rules.signal.signal_drift import signal_drift
from stepzero.rules.signal.slow_periodic_features import slow_periodic_features
from stepzero.rules.signal.unusable_time_constants import unusable_time_constants
from stepzero.rules.signal.wrong_fan import wrong_fan
from stepzero.rules.structure.adapter_off_identity import adapter_off_identity
from stepzero.rules.structure.broken_identity_start import broken_identity_start
from stepzero.rules.structure.closed_gate import closed_gate
from stepzero.rules.structure.dead_product import dead_product
from stepzero.rules.structure.inconsistent_siblings import inconsistent_siblings
from stepzero.rules.symmetry.constant_weight import constant_weight
from stepzero.rules.symmetry.degenerate_router import degenerate_router
from stepzero.rules.symmetry.equal_rows import equal_rows
from stepzero.rules.symmetry.identical_heads import identical_heads
from stepzero.rules.symmetry.identical_layers import identical_layers
from stepzero.rules.symmetry.identical_set_tokens import identical_set_tokens
from stepzero.rules.symmetry.identical_siblings import identical_siblings
from stepzero.rules.symmetry.low_effective_rank import low_effective_rank
from stepzero.rules.symmetry.lumped_units import lumped_units
from stepzero.rules.symmetry.proportional_units import proportional_units
from stepzero.rules.symmetry.reused_draw import reused_draw
from stepzero.rules.symmetry.twin_units import twin_units

ALL: tuple[Rule, ...] = (
    non_finite_value,
    unwritten_memory,
    outlier_value,
    unmaterialised_tensor,
    unrepeatable_init,
    untouched_parameter,
    low_precision_draw,
    write_without_effect,
    special_init_overwritten,
    twin_units,
    lumped_units,
    equal_rows,
    proportional_units,
    low_effective_rank,
    constant_weight,
    identical_siblings,
    identical_heads,
    identical_layers,
    reused_draw,
    degenerate_router,
    identical_set_tokens,
    signal_drift,
    off_law_scale,
    saturated_units,
    dead_units,
    offset_units,
    sharp_attention,
    residual_growth,
    norm_off_identity,
    overflow_ahead,
    wrong_fan,
    narrow_deep_stack,
    misplaced_residual_scale,
    unusable_time_constants,
    mapped_value_off_range,
    slow_periodic_features,
    gradient_drift,
    stuck_parameter,
    delayed_parameter,
    slow_wake_up,
    unused_parameter,
    cut_gradient,
    update_out_of_band,
    unbalanced_updates,
    epsilon_floor,
    loud_head,
    head_ignores_base_rate,
    off_target_regression,
    double_activation,
    constant_output,
    input_independent_output,
    non_finite_loss,
    dominant_bias,
    bias_behind_dead_units,
    redundant_parameter,
    short_memory_gate,
    embedding_scale_mismatch,
    live_padding_row,
    zero_bias_low_dimensional_relu,
    equal_token_rows,
    dead_product,
    adapter_off_identity,
    closed_gate,
    inconsistent_siblings,
    broken_identity_start,
    identical_shards,
    raw_input,
    label_out_of_range,
    skipped_module,
)
"""Every rule, by code."""
