"""Named initialisation schemes: each fills one tensor in place from an explicit generator and returns it.

    from stepzero import schemes
    schemes.he_(weight, generator=schemes.generator_for(seed=0, name="body.0.weight"), gain="gelu")

Names that end in an underscore write into a tensor. The others are numbers: gains, and factors by depth and width.
"""

from collections.abc import Callable

from torch import Tensor

from stepzero.core.errors import ConfigError, did_you_mean
from stepzero.measure.gain import activation_gain, glu_gain
from stepzero.schemes.adapters import experts_, lora_a_, lora_scale
from stepzero.schemes.attention import attention_, contrast_, embedding_
from stepzero.schemes.depth import (
    admin,
    admin_closed,
    deepnorm,
    deepnorm_pair,
    depth_gpt2,
    depth_index,
    depth_mup,
    fixup,
    layerscale,
    small_init,
    subln,
    subln_pair,
    t_fixup,
    wang,
)
from stepzero.schemes.identity import bilinear_up_, dirac_, icnr_, identity_, idinit_, zero_hadamard_, zeros_
from stepzero.schemes.orthogonal import delta_orthogonal_, orthogonal_, suo_
from stepzero.schemes.plain import edge_of_chaos, edge_of_chaos_, random_walk_
from stepzero.schemes.recurrent import recurrent_, ssm_dt_bias_, ssm_log_a_
from stepzero.schemes.seeding import canonical_name, generator_for
from stepzero.schemes.variance import (
    constant_std_,
    glorot_,
    he_,
    lecun_,
    ntk_,
    selu_,
    siren_,
    sparse_,
    spectral_,
    torch_default_,
)
from stepzero.schemes.width import attention_scale, mup

__all__ = [
    "activation_gain",
    "admin",
    "admin_closed",
    "attention_",
    "attention_scale",
    "bilinear_up_",
    "canonical_name",
    "constant_std_",
    "contrast_",
    "deepnorm",
    "deepnorm_pair",
    "delta_orthogonal_",
    "depth_gpt2",
    "depth_index",
    "depth_mup",
    "dirac_",
    "edge_of_chaos",
    "edge_of_chaos_",
    "embedding_",
    "experts_",
    "fixup",
    "generator_for",
    "get",
    "glorot_",
    "glu_gain",
    "he_",
    "icnr_",
    "identity_",
    "idinit_",
    "layerscale",
    "lecun_",
    "lora_a_",
    "lora_scale",
    "mup",
    "names",
    "ntk_",
    "orthogonal_",
    "random_walk_",
    "recurrent_",
    "selu_",
    "siren_",
    "small_init",
    "sparse_",
    "spectral_",
    "ssm_dt_bias_",
    "ssm_log_a_",
    "subln",
    "subln_pair",
    "suo_",
    "t_fixup",
    "torch_default_",
    "wang",
    "zero_hadamard_",
    "zeros_",
]


def names() -> tuple[str, ...]:
    """Names of all schemes that fill a tensor, sorted: what `get` takes."""
    return tuple(name.removesuffix("_") for name in __all__ if name.endswith("_"))


def get(name: str) -> Callable[..., Tensor]:
    """The scheme of that name, with or without its underscore.

    Raises:
        ValueError: there is none; the nearest is named.
    """
    wanted = name.removesuffix("_")
    if wanted not in names():
        raise ConfigError(f"no scheme is called {name!r}{did_you_mean(wanted, names())}; known: {', '.join(names())}")
    scheme: Callable[..., Tensor] = globals()[f"{wanted}_"]
    return scheme
