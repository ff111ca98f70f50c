"""Published starts that are really bad, or really odd: which finding is right about them, and why.

An argument stands for one code of one model; everything else that is said of the model counts as a false alarm.
None of these arguments has been confirmed by a training run yet; some are inferred from the finding alone.
"""

from typing import Any

from torch import nn

Arguments = dict[str, str]

FAINT = "the published configuration draws weights with standard deviation 1e-10: neither of two in a row learns"
FAINT_CODES = ("SZ302", "SZ402", "SZ404")
TINY = 1e-6
"""Standard deviation of a configuration below which `FAINT` holds."""

UNIT_HEAD = "the head is tied to embeddings of unit variance: logits of std sqrt(width), a loss far above ln V"
LIVE_PADDING = "the class that draws all embeddings leaves the padding row random, and no gradient ever moves it"
BYTES = "forward rounds the latents to bytes: through it the encoder cannot be trained, which is done in other code"
TWO_ZERO_TOKENS = "class and distillation token are both zero, as are their positions, and the head reads their mean"
SHORT_MEMORY = "the bias of the time step is 0, a step of 0.69, where the paper draws 0.001 to 0.1 (Gu & Dao 2023)"
LOST_DRAW = "the class draws a weight that weight norm computes anew from two others in every pass"
CLONES = "torch's own page advises to draw the layers of nn.TransformerEncoder anew: they are copies of one"
MIXED_BANK = "both factors are mixed from one random bank of vectors: the adapted model does not start as the base"
SCALED_TOKENS = "tokens are multiplied by sqrt(width) = 32 and positions, of the same deviation 0.02, are not"
SELF_PREDICTION = "tokens times sqrt(width) fill the stream, and the head is tied to them: it predicts what it reads"
ALL_GROUPS = "grouped 3 x 3 convolutions drawn by He's fan out over all channels, as torch counts it: 1 / sqrt(8)"
TRANSPOSED = "torch's default reads the fan of a transposed convolution from axis 1, here 8 times what one output sums"
SPLIT = "grouped convolutions of the split attention drawn by He's fan out over all groups: a fourth of the deviation"
AT_THE_BOUND = (
    "a truncated normal whose uniform number came out as its end: one in 2^24 lies at the bound, 100 deviations out "
    "(pytorch/pytorch#155588)"
)
THIN_FOCUS = (
    "all weights are drawn with deviation 0.02, depthwise ones of few inputs too: each focal level hands on 1/18"
)
TORCH_DEFAULT = "torch's default is 0.41 of He's deviation: seven layers without a norm hand on a 500th of the signal"
BOUND, NARROW = 2.0, 0.1
"""The bound that timm draws within, and the deviation of a tensor that nothing else takes there."""
INDEXER = "only the indices that the indexer picks are used: it learns from a loss of its own, which the class lacks"

BY_MODEL: dict[str, Arguments] = {
    "ast": {"SZ212": TWO_ZERO_TOKENS},
    "cloned-encoder": {"SZ209": CLONES},
    "alexnet": {"SZ302": TORCH_DEFAULT},
    "focalnet_tiny_lrf": {"SZ301": THIN_FOCUS, "SZ302": THIN_FOCUS},
    "hubert": {"SZ108": LOST_DRAW},
    "lowformer_b0": {"SZ313": TRANSPOSED},
    "lowformer_b1": {"SZ313": TRANSPOSED},
    "jamba": {"SZ318": SHORT_MEMORY},
    "visformer_tiny": {"SZ313": ALL_GROUPS},
    "resnest50d_1s4x24d": {"SZ313": SPLIT},
    "sew": {"SZ108": LOST_DRAW},
    "wav2vec2": {"SZ108": LOST_DRAW},
    "AutoencoderTiny": {"SZ406": BYTES},
    "bigbird_pegasus": {"SZ605": SCALED_TOKENS},
    "biogpt": {"SZ501": SELF_PREDICTION, "SZ605": SCALED_TOKENS},
    "cpmant": {"SZ501": UNIT_HEAD},
    "funnel": {"SZ501": UNIT_HEAD},
    "modernvbert": {"SZ606": LIVE_PADDING},
    "mt5": {"SZ501": UNIT_HEAD},
    "deepseek_v32": {"SZ405": INDEXER},
    "VBLoRA": {"SZ702": MIXED_BANK},
}


def by_config(model: nn.Module) -> Arguments:
    """What the numbers in the configuration of ``model`` say, if it has one, and those in its weights."""
    config = getattr(model, "config", None)
    is_faint = hasattr(config, "to_dict") and _is_faint(config.to_dict())
    found = dict.fromkeys(FAINT_CODES, FAINT) if is_faint else {}
    return {**found, "SZ103": AT_THE_BOUND} if any(map(_has_one_at_the_bound, model.parameters())) else found


def _has_one_at_the_bound(weight: nn.Parameter) -> bool:
    """Whether some number is the bound to the last bit, and the others are far from it."""
    if weight.dim() < 2 or not weight.is_floating_point() or weight.is_meta or weight.numel() < 2:
        return False
    return float(weight.detach().abs().max()) == BOUND and float(weight.detach().float().std()) < NARROW


def _is_faint(values: dict[str, Any]) -> bool:
    """Whether a standard deviation, here or in a nested configuration, is next to nothing."""
    own = values.get("initializer_range")
    is_tiny = isinstance(own, float) and 0 < own < TINY
    return is_tiny or any(_is_faint(value) for value in values.values() if isinstance(value, dict))
