"""Every number a rule compares with, each with its unit and where it comes from.

No threshold stands anywhere else. ``Limits()`` is what ships; ``dataclasses.replace`` makes another.
"""

import dataclasses
from dataclasses import dataclass


def limit(value: float, *, unit: str, source: str) -> float:
    """Declare one limit; the unit and source are kept as field metadata."""
    declared: float = dataclasses.field(default=value, metadata={"unit": unit, "source": source})
    return declared


@dataclass(frozen=True)
class Limits:
    """The shipped limits. Field names are ``rule_quantity``."""

    equality_roundoffs: float = limit(16.0, unit="u", source="a few roundings of one reduction (catalogue 0.2)")
    constant_roundoffs: float = limit(8.0, unit="u x abs(mean)", source="a fill rounds once per element (SZ206)")
    constant_min_elements: float = limit(
        8, unit="elements", source="smaller matrices can be constant by chance (SZ206)"
    )
    constant_fingerprint: float = limit(1e-5, unit="of the rms", source="float32 sums of a few thousand terms (SZ206)")
    rows_rank_share: float = limit(
        0.5, unit="directions a unit", source="more start the second step from generic rows (SZ203)"
    )
    scaled_error_share: float = limit(0.5, unit="share of units", source="most of the layer is redundant (SZ204)")
    tokens_error_share: float = limit(
        0.5, unit="share of tokens", source="half of the set or more adds nothing (SZ212); fewer is a narrower start"
    )
    faint_gradient: float = limit(
        1e-6,
        unit="of the largest gradient",
        source="what rounding leaves of a cancelled sum in float32 (catalogue 0.2)",
    )
    cancelled_gradient: float = limit(
        1e-4,
        unit="of the root sum of squares of its terms",
        source="a sum of n terms keeps 6e-8 of them where they cancel, and about 1 where they do not (SZ603)",
    )
    wake_warning_size: float = limit(1e-6, unit="of the control", source="catalogue SZ404")
    wake_error_size: float = limit(1e-30, unit="gradient", source="near float32 underflow, catalogue SZ404")
    wake_error_of_eps: float = limit(1e-3, unit="of the optimizer's eps", source="catalogue SZ404")
    outlier_false_call: float = limit(1e-6, unit="probability a tensor", source="Gaussian tail over n elements (SZ103)")
    outlier_min_elements: float = limit(16, unit="elements", source="too few to estimate a deviation (SZ103)")
    outlier_subnormal_share: float = limit(0.05, unit="share of elements", source="pytorch/pytorch#155588 (SZ103)")
    outlier_share: float = limit(0.01, unit="share of elements", source="more than this is a law of its own (SZ103)")
    outlier_zero_share: float = limit(
        0.5, unit="share of elements", source="the median of a sparse tensor is 0 (SZ103)"
    )
    outlier_ordinary: float = limit(
        1.0, unit="absolute value", source="identity, permutation and orthogonal draws reach 1 (SZ103)"
    )
    outlier_garbage: float = limit(
        1e18, unit="absolute value", source="its square overflows float32; fla-org/flame#9 (SZ103)"
    )
    outlier_sample_errors: float = limit(
        4.0, unit="standard errors of the spread", source="the spread itself is an estimate, false call 3e-5 (SZ103)"
    )
    outlier_max_kurtosis_z: float = limit(
        30.0, unit="standard deviations", source="beyond this no light-tailed law of 1e12 elements reaches (SZ103)"
    )
    untouched_share: float = limit(
        2 / 3, unit="of the weights", source="a function that writes fewer is one of several (SZ106)"
    )
    untouched_weights: float = limit(4, unit="weights", source="fewer are written one by one (SZ106)")
    untouched_factor: float = limit(
        4.0,
        unit="factor of the law",
        source="initialisers in use lie within 2.4 of the laws (torch's default, He, std 0.02) (SZ106)",
    )
    draw_zero_chance: float = limit(0.01, unit="probability", source="of one exact zero in a float32 draw (SZ107)")
    draw_spread_roundoffs: float = limit(8.0, unit="u x abs(mean)", source="16 values in two deviations (SZ107)")
    draw_min_elements: float = limit(16, unit="elements", source="too few to estimate a deviation (SZ107)")
    rank_ratio: float = limit(0.25, unit="of the control's entropy rank", source="catalogue SZ205")
    rank_min: float = limit(8.0, unit="directions", source="a quarter of fewer is what one or two units can do (SZ205)")
    rank_of_input: float = limit(
        0.5, unit="of the control's entropy rank", source="half of the directions were lost before the layer (SZ205)"
    )
    offset_share: float = limit(0.5, unit="share of units", source="most of a layer; catalogue SZ306")
    offset_control: float = limit(0.25, unit="share of units", source="half of the share that is reported (SZ306)")
    offset_min_units: float = limit(8, unit="units", source="half of a few units are off by chance (SZ306)")
    offset_min_samples: float = limit(8, unit="batch entries", source="a deviation needs several; catalogue SZ306")
    local_gain: float = limit(5.0, unit="ratio to the draws, either way", source="catalogue SZ314")
    linear_unexplained: float = limit(
        1e-4, unit="share of the variance", source="a line to one percent of the amplitude; catalogue SZ304"
    )
    linear_share: float = limit(0.5, unit="share of activations", source="most of the network; catalogue SZ304")
    linear_min_layers: float = limit(2, unit="activations", source="one alone says nothing of the network (SZ304)")
    linear_min_rows: float = limit(8, unit="positions", source="a deviation needs several (SZ304)")
    linear_gradient: float = limit(0.1, unit="of the control's gradient norm", source="catalogue SZ304")
    overflow_share: float = limit(0.1, unit="of the dtype's largest number", source="Micikevicius 2018 (SZ312)")
    mapped_slope: float = limit(
        1e-4,
        unit="of the map's largest slope",
        source="deviations started at softplus(-7) train and have 9e-4; Adam needs 9/lr steps to leave (SZ319)",
    )
    mapped_share: float = limit(0.5, unit="share of entries", source="most of the parameter (SZ319)")
    router_share: float = limit(0.9, unit="share of positions", source="catalogue SZ211")
    router_control: float = limit(0.5, unit="share of positions", source="catalogue SZ211")
    router_min_positions: float = limit(16, unit="positions", source="a share of 0.9 needs several (SZ211)")
    fan_factor: float = limit(
        1.4,
        unit="factor of the standard deviation",
        source="misread fans that differ by less than two do no harm (SZ313)",
    )
    fan_default: float = limit(
        1.5,
        unit="factor of the standard deviation",
        source="a transposed convolution from 2 n to n channels, as torch draws it, is off by 1.41 (SZ313)",
    )
    fan_margin: float = limit(
        0.06,
        unit="relative half width",
        source="three laws hit a number between 0.01 and 1 by chance in 8 % of cases (SZ313)",
    )
    law_factor: float = limit(
        2.0, unit="factor", source="the smallest that reaches a drift of 100 inside seven layers (SZ302)"
    )
    repair_law_factor: float = limit(
        4.0,
        unit="factor",
        source="initialisers in use lie within 2.4 of the laws (torch's default, He, std 0.02) (fix_)",
    )
    law_range: float = limit(100.0, unit="ratio", source="two decades along one segment, as for the signal (SZ302)")
    law_trace: float = limit(
        1e-6, unit="factor", source="a first step of Adam at the usual rates is a hundred times as large (SZ302)"
    )
    law_min_layers: float = limit(
        4, unit="weighted operations", source="below that the first steps repair a scale (SZ302)"
    )
    law_short_range: float = limit(
        1e3,
        unit="ratio",
        source="measured: plain nets of three hidden layers learn at a product of 1/1000 and not at 1/8000 (SZ302)",
    )
    drift_slope: float = limit(1.25, unit="factor a layer", source="He 2015; a factor 1.25 is 9 in ten layers (SZ301)")
    drift_range: float = limit(100.0, unit="ratio", source="two decades along one segment (SZ301)")
    drift_varied_range: float = limit(
        1e3,
        unit="ratio",
        source="samples grow alike by a power of depth even at He's gain: two decades at 100 layers (SZ301)",
    )
    drift_error_range: float = limit(1e3, unit="ratio", source="three decades with gradient evidence (SZ301)")
    drift_gradient: float = limit(
        100.0, unit="ratio", source="gradient at the segment's end out by two decades (SZ301)"
    )
    drift_min_layers: float = limit(
        4, unit="weighted operations", source="a line through fewer points says nothing (SZ301)"
    )
    gradient_range: float = limit(1e3, unit="ratio", source="Glorot 2010; Schoenholz 2017 (SZ401)")
    gradient_error_range: float = limit(1e4, unit="ratio", source="Glorot 2010; Schoenholz 2017 (SZ401)")
    gradient_error_update: float = limit(1e-6, unit="relative update", source="below one step in a million (SZ401)")
    gradient_error_update_high: float = limit(
        1.0, unit="relative update", source="the first step rewrites the weight (SZ301)"
    )
    gradient_reference_lr: float = limit(
        1e-2, unit="learning rate", source="SGD at 1e-2 when no optimizer is given (0.2)"
    )
    epsilon_factor: float = limit(10.0, unit="of epsilon", source="below, a tenth of the step is lost; SZ409")
    epsilon_share: float = limit(0.5, unit="share of slices", source="catalogue SZ409")
    pace_range: float = limit(1e3, unit="ratio of relative updates", source="catalogue SZ408; Kraehenbuehl 2016")
    pace_scale: float = limit(
        10.0, unit="of the law", source="two decades of the pace; initialisers in use lie within 4 (SZ408)"
    )
    update_low: float = limit(1e-5, unit="relative update", source="healthy is about 1e-3; catalogue SZ407")
    update_high: float = limit(1e-1, unit="relative update", source="healthy is about 1e-3; catalogue SZ407")
    update_floor: float = limit(1e-3, unit="of the law", source="scale floor of a tensor near zero, catalogue 0.2")
    first_step_rise: float = limit(2.0, unit="loss after over before", source="catalogue SZ410; Karpathy 2019")
    first_step_floor: float = limit(
        0.1, unit="of ln K", source="a loss that is nearly zero doubles for nothing (SZ410)"
    )
    sharp_step: float = limit(2.0, unit="learning rate x curvature", source="LeCun 1998 section 5.3 (SZ411)")
    sharp_step_most: float = limit(
        12.0, unit="learning rate x curvature", source="rectifiers train up to here, Lewkowycz 2020 (SZ411)"
    )
    kernel_decades: float = limit(2.0, unit="decades beyond the control", source="catalogue SZ412; Xiao 2020")
    saturated_flat_share: float = limit(0.5, unit="share of positions", source="Glorot 2010 (SZ303)")
    saturated_derivative: float = limit(0.1, unit="of the largest slope", source="tanh: abs(z) > 1.82 (SZ303)")
    saturated_warning: float = limit(0.2, unit="share of units", source="LeCun 1998 section 4.6 (SZ303)")
    saturated_error: float = limit(0.5, unit="share of units", source="Glorot 2010 (SZ303)")
    saturated_error_gradient: float = limit(0.1, unit="ratio across the activation", source="SZ303")
    saturated_min_rows: float = limit(8, unit="positions", source="a share of positions needs several (SZ303)")
    sharp_std: float = limit(
        1.0, unit="sqrt(ln T)", source="the entropy is half of ln T; sqrt(2) freezes it, Derrida 1981 (SZ307)"
    )
    sharp_min_keys: float = limit(8, unit="keys", source="few keys are sharp by chance (SZ307)")
    sharp_certain: float = limit(
        10.0,
        unit="ratio",
        source="over few keys: scores ten limits wide differ by tens of nats, never by chance (SZ307)",
    )
    growth_warning: float = limit(
        100.0, unit="ratio", source="branches scaled by N^-1/2 give sqrt(e) at most; catalogue SZ308"
    )
    growth_error: float = limit(1e3, unit="ratio", source="three decades with gradient evidence (SZ308)")
    growth_gradient: float = limit(100.0, unit="ratio", source="the gradient grows back by two decades (SZ308)")
    factor_blocks: float = limit(
        6, unit="branches", source="below, the factor is near ratios that fans bring about, 1/2 at four of them (SZ317)"
    )
    factor_margin: float = limit(0.02, unit="relative half width", source="beside the error of the sample (SZ317)")
    factor_share: float = limit(0.4, unit="of the last weights", source="half of them, less one or two (SZ317)")
    norm_gain: float = limit(
        2.0, unit="factor away from 1", source="gains spread around 1 stay inside; N(0, 0.02) does not (SZ310)"
    )
    norm_shift: float = limit(1.0, unit="of the gain", source="a shift larger than the signal hides it (SZ310)")
    norm_min_units: float = limit(8, unit="units", source="few gains can share a sign by chance (SZ310)")
    narrow_beta: float = limit(
        1.0, unit="variance of ln norm^2", source="the squared norm varies by a factor e; Hanin & Rolnick 2018 (SZ315)"
    )
    narrow_min_layers: float = limit(
        8, unit="layers", source="over fewer layers luck is a scale that few steps mend (SZ315)"
    )
    narrow_isometry: float = limit(
        0.02, unit="range of ln factor", source="a Gaussian layer of width 1,000 has 0.03 by chance (SZ315)"
    )
    memory_none: float = limit(1.0, unit="steps", source="less than 1/e of the state is left after one step (SZ318)")
    memory_low: float = limit(2.0, unit="steps", source="catalogue SZ318; at one half a step the memory is 1.44")
    memory_equal: float = limit(2, unit="channels", source="one decay is a choice, several equal ones are not (SZ318)")
    memory_sequence: float = limit(20, unit="steps", source="shorter sequences need no memory; catalogue SZ604")
    dead_warning: float = limit(0.10, unit="share of units above chance", source="catalogue SZ305")
    dead_error: float = limit(0.50, unit="share of units above chance", source="catalogue SZ305")
    dead_min_rows: float = limit(32, unit="positions", source="all-off by chance has probability 2^-32 a unit (SZ305)")
    dead_deviations: float = limit(
        4.0,
        unit="standard deviations",
        source="counts of units off and on by chance are binomial; 3e-5 a layer (SZ305)",
    )
    dead_expected: float = limit(
        0.10, unit="share of units", source="what correlated inputs do to a sound start (SZ305)"
    )
    loud_excess: float = limit(0.5, unit="nats", source="sigma^2 / 2 at sigma = 1 (SZ501)")
    loud_excess_per_log_class: float = limit(0.1, unit="of ln K", source="catalogue SZ501")
    loud_deviations: float = limit(
        2.0, unit="standard deviations", source="a batch of N labels moves the mean loss by sigma / sqrt(N) (SZ501)"
    )
    loud_error_excess: float = limit(2.0, unit="nats", source="catalogue SZ501")
    loud_error_gradient: float = limit(
        10.0, unit="of what the head's law sends back", source="gradient into the backbone, catalogue SZ501"
    )
    base_rate: float = limit(0.05, unit="share of positives", source="catalogue SZ503")
    base_rate_logits: float = limit(2.0, unit="logits", source="a factor 7 in the odds; catalogue SZ503")
    winner_share: float = limit(0.95, unit="share of samples", source="catalogue SZ502; Karpathy 2019")
    winner_sure: float = limit(5.0, unit="of 1/K", source="catalogue SZ502")
    winner_control: float = limit(0.5, unit="share of samples", source="catalogue SZ502")
    winner_bias: float = limit(
        1.0, unit="logits above the mean", source="odds of e by the bias alone: a prior, no draw of a law (SZ502)"
    )
    winner_min_classes: float = limit(6, unit="classes", source="with fewer 5/K is no probability (SZ502)")
    winner_min_samples: float = limit(
        8, unit="samples", source="of fewer all fall by chance into a class with half of all, once in 100 (SZ502)"
    )
    policy_entropy: float = limit(0.9, unit="of ln n", source="catalogue SZ509")
    policy_mean: float = limit(
        0.2, unit="rms of the mean actions", source="a tenth of the range of actions in [-1, 1]; catalogue SZ509"
    )
    regression_offset: float = limit(3.0, unit="deviations of the targets", source="catalogue SZ504")
    regression_spread: float = limit(3.0, unit="deviations of the targets", source="catalogue SZ504")
    regression_loss: float = limit(
        3.0, unit="variances of the targets", source="a head at its law costs 2, at He's 3; catalogue SZ504"
    )
    loud_lawful_gradient: float = limit(
        2.0,
        unit="of what the head's law sends back",
        source="laws in use end at He's sqrt(2); off-law weights are told from a factor 2 up, as in SZ302 (SZ501)",
    )
    bias_ratio: float = limit(
        3.0, unit="of the rms of W x", source="the weights move the unit by a third of its offset (SZ601)"
    )
    bias_share: float = limit(0.5, unit="share of units", source="most of a layer (SZ601)")
    bias_min_rows: float = limit(8, unit="positions", source="an rms needs several samples (SZ601)")
    bias_revives: float = limit(
        1.0,
        unit="standard deviations",
        source="without its bias the unit is on at 16 % of positions or more: 32 off have a chance of 0.4 % (SZ602)",
    )
    periodic_inputs: float = limit(4, unit="inputs", source="more are encoded already (SZ320)")
    periodic_phase: float = limit(
        1.5707963, unit="radians", source="pi / 2: a standard deviation of half of half a period (SZ320)"
    )
    periodic_aliasing: float = limit(
        62.83185307, unit="radians", source="20 pi: ten periods within one deviation, noise between samples (SZ320)"
    )
    periodic_min_rows: float = limit(8, unit="positions", source="a spread needs several points (SZ320)")
    cone_dimensions: float = limit(
        3, unit="inputs", source="in four dimensions lines through the origin no longer cover the data (SZ608)"
    )
    cone_rank_line: float = limit(
        4, unit="rank", source="theorem: gradients are constant on x > 0 and on x < 0, for weights and biases (SZ608)"
    )
    cone_rank_half_line: float = limit(2, unit="rank", source="the same with one sign only (SZ608)")
    embedding_ratio: float = limit(30.0, unit="ratio of rms", source="a thousandth of the variance; catalogue SZ605")
    adapter_share: float = limit(
        1e-6, unit="rms of the pair's result, of the base's", source="a few roundings of float32 (SZ702)"
    )
    adapter_split: float = limit(
        0.01,
        unit="cosine x sqrt(units)",
        source="a drawn pair has deviation 1, and 1 % of those of rank 1 are below; a split one is rounding (SZ702)",
    )
    sibling_factor: float = limit(2.0, unit="factor of the median", source="catalogue SZ706")
    sibling_band: float = limit(
        1.3, unit="factor of the median", source="a ramp with one member beyond 2 has others beyond 1.3 (SZ706)"
    )
    sibling_blocks: float = limit(5, unit="blocks", source="a majority, and two ends that may differ (SZ706)")
    sibling_share: float = limit(0.25, unit="share of blocks", source="more are a pattern of their own (SZ706)")
    sibling_errors: float = limit(4.0, unit="standard errors", source="of a deviation, 6e-5 a block (SZ706)")
    identity_blocks: float = limit(4, unit="branches", source="two of three are no scheme (SZ707)")
    identity_share: float = limit(0.5, unit="share of branches", source="most siblings; catalogue SZ707")
    gate_closed: float = limit(
        1e-2, unit="share let through", source="catalogue; a gate biased to -3 on purpose lets 0.05 through (SZ703)"
    )
    gate_slope: float = limit(
        0.04, unit="of the gradient in front", source="a sigmoid at one half passes 0.25; a sixth of it (SZ703)"
    )
    gate_min_rows: float = limit(8, unit="positions", source="a gate may be shut for a few samples by chance (SZ703)")
    shard_min_units: float = limit(4, unit="units", source="a repeated block of fewer units is a repeated unit (SZ801)")
    shard_fingerprint: float = limit(1e-5, unit="of the rms", source="float32 sums of a few thousand terms (SZ801)")
    input_offset: float = limit(3.0, unit="standard deviations", source="LeCun 1998 section 4.3 (SZ901)")
    input_std_low: float = limit(0.05, unit="standard deviation", source="catalogue SZ901")
    input_std_high: float = limit(20.0, unit="standard deviation", source="catalogue SZ901")
    input_sure: float = limit(3.0, unit="standard errors", source="99.7 % intervals of mean and spread (SZ901)")
    input_pixel_high: float = limit(
        127.0, unit="value", source="8-bit images: whole numbers that reach past half of 255 (SZ901)"
    )
    input_min_samples: float = limit(8, unit="positions", source="a spread needs several samples (SZ901)")
    target_std_low: float = limit(0.05, unit="standard deviation", source="as for inputs; catalogue SZ902")
    target_std_high: float = limit(20.0, unit="standard deviation", source="as for inputs; catalogue SZ902")
    target_offset: float = limit(3.0, unit="standard deviations", source="catalogue SZ902")
    target_min_samples: float = limit(8, unit="samples", source="a spread needs several samples (SZ902)")
    weak_samples: float = limit(2, unit="samples", source="nothing can vary over one sample (SZ905)")
    weak_constant: float = limit(0.5, unit="share of features", source="most of the input says nothing (SZ905)")
    skipped_share: float = limit(0.20, unit="share of parameters", source="catalogue SZ907")
    coordinate_slope: float = limit(
        0.25, unit="exponent of the width", source="half of 1/2, the smallest that a wrong factor makes; 2203.03466"
    )
    coordinate_noise: float = limit(
        0.15, unit="exponent of the width", source="what finite widths do to a correct model; 2203.03466 appendix D"
    )
    coordinate_confidence: float = limit(
        0.95, unit="probability", source="Student's interval of the slope over widths and seeds"
    )
    coordinate_roundoffs: float = limit(
        16.0, unit="u x rms", source="a few roundings of one reduction, as for equality"
    )
    diff_factor: float = limit(
        1.25,
        unit="factor",
        source="64 units tell a deviation to 9 %; two seeds lie three of these apart (diff)",
    )
