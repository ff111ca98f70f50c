"""What a torch function is called and what kind of operation it is, whoever calls it and how.

`spec_of` maps ``x + y``, ``torch.add``, ``Tensor.add_`` and ``aten.add`` to one `Spec` named ``add``. Kinds follow
`core.trace.Operation.kind`. Functions that are Python composites of `torch.nn.functional` reach a
TorchFunctionMode as one call; those worth seeing inside are *opened*: a copy whose ``has_torch_function`` checks
answer False is run with the mode still on. Done for functions of that module only: on Tensor methods it recurses.
"""

import functools
import types
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

CONTRACTIONS = frozenset(
    "linear matmul mm bmm mv dot inner addmm addmv addbmm baddbmm einsum tensordot bilinear chain_matmul multi_dot "
    "grouped_mm conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d convolution conv_tbc outer "
    "ger".split()
)
RECURRENT = frozenset("lstm gru rnn_tanh rnn_relu lstm_cell gru_cell rnn_tanh_cell rnn_relu_cell".split())
LOOKUPS = frozenset(["embedding", "embedding_bag"])
ACTIVATIONS = frozenset(
    "relu relu6 leaky_relu rrelu prelu elu celu selu gelu silu mish tanh sigmoid hardtanh hardsigmoid hardswish "
    "softplus softsign logsigmoid tanhshrink hardshrink softshrink threshold erf sin cos abs".split()
)
"""Elementwise maps that play the part of a nonlinearity; exp, sqrt and powers are arithmetic."""
BOUNDED = frozenset("tanh sigmoid hardsigmoid softsign erf logsigmoid".split())
"""Activations that flatten on at least one far side by saturating; the ReLU family dies instead. A hard tanh does
either, as its two limits say."""
RECTIFIERS = frozenset("relu relu6 threshold hardtanh hardsigmoid hardswish hardshrink softshrink".split())
"""Activations with a region of derivative exactly zero."""
NORMS = frozenset(
    "batch_norm layer_norm group_norm instance_norm rms_norm local_response_norm native_layer_norm "
    "native_batch_norm native_group_norm normalize".split()
)
SOFTMAXES = frozenset("softmax log_softmax gumbel_softmax sparsemax".split())
ATTENTIONS = frozenset(["scaled_dot_product_attention", "flex_attention"])
ADDS = frozenset("add sub rsub addcmul addcdiv lerp".split())
MULTIPLIES = frozenset("mul div true_divide floor_divide multiply divide".split())
VIEWS = frozenset(
    "view reshape flatten unflatten ravel transpose t T mT H mH adjoint permute movedim moveaxis swapaxes swapdims "
    "squeeze unsqueeze expand expand_as broadcast_to view_as reshape_as contiguous clone to float double half bfloat16 "
    "type type_as cpu cuda detach chunk split tensor_split split_with_sizes unbind narrow select getitem "
    "slice diagonal as_strided requires_grad_ alias data real imag view_as_real view_as_complex "
    "channels_last identity pixel_shuffle pixel_unshuffle roll flip hsplit vsplit dsplit unsafe_chunk unsafe_split "
    "positive conj resolve_conj resolve_neg".split()
)
DROPOUTS = frozenset(
    "dropout dropout1d dropout2d dropout3d alpha_dropout feature_dropout feature_alpha_dropout".split()
)
JOINS = frozenset(
    "cat concat concatenate stack hstack vstack dstack column_stack row_stack pad constant_pad_nd".split()
)
POOLS = frozenset(
    "mean sum amax amin max_pool1d max_pool2d max_pool3d avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d "
    "adaptive_avg_pool2d adaptive_avg_pool3d adaptive_max_pool1d adaptive_max_pool2d lp_pool1d lp_pool2d logsumexp "
    "interpolate upsample max_pool2d_with_indices".split()
)
LOSSES = frozenset(
    "cross_entropy cross_entropy_loss nll_loss nll_loss_nd nll_loss2d mse_loss l1_loss smooth_l1_loss huber_loss "
    "binary_cross_entropy binary_cross_entropy_with_logits kl_div ctc_loss cosine_embedding_loss hinge_embedding_loss "
    "margin_ranking_loss triplet_margin_loss multi_margin_loss multilabel_margin_loss soft_margin_loss "
    "multilabel_soft_margin_loss gaussian_nll_loss poisson_nll_loss linear_cross_entropy".split()
)
_KINDS: tuple[tuple[str, frozenset[str]], ...] = (
    ("weighted", CONTRACTIONS | RECURRENT | LOOKUPS),
    ("activation", ACTIVATIONS),
    ("norm", NORMS),
    ("softmax", SOFTMAXES),
    ("attention", ATTENTIONS),
    ("add", ADDS),
    ("multiply", MULTIPLIES),
    ("view", VIEWS),
    ("dropout", DROPOUTS),
    ("join", JOINS),
    ("pool", POOLS),
    ("loss", LOSSES),
)
KIND_OF: dict[str, str] = {name: kind for kind, names in _KINDS for name in names}
_RENAMED = {
    "cross_entropy_loss": "cross_entropy",
    "nll_loss_nd": "nll_loss",
    "nll_loss2d": "nll_loss",
    "concat": "cat",
    "concatenate": "cat",
    "multiply": "mul",
    "divide": "div",
    "true_divide": "div",
    "truediv": "div",
    "rtruediv": "div",
    "rdiv": "div",
    "subtract": "sub",
    "iadd": "add",
    "radd": "add",
    "isub": "sub",
    "imul": "mul",
    "rmul": "mul",
    "idiv": "div",
    "itruediv": "div",
    "rmatmul": "matmul",
    "rpow": "pow",
    "ipow": "pow",
    "absolute": "abs",
    "linalg_matmul": "matmul",
    "linalg_multi_dot": "multi_dot",
    "special_expit": "sigmoid",
    "special_softmax": "softmax",
    "special_log_softmax": "log_softmax",
    "swapaxes": "transpose",
    "swapdims": "transpose",
    "native_layer_norm": "layer_norm",
    "native_batch_norm": "batch_norm",
    "native_group_norm": "group_norm",
    "_grouped_mm": "grouped_mm",
    "_scaled_grouped_mm": "grouped_mm",
    "_softmax": "softmax",
    "_log_softmax": "log_softmax",
    "rnn_tanh": "rnn_tanh",
    "_weight_norm": "weight_norm",
    "special_erf": "erf",
    "lstm_cell": "lstm_cell",
}
CREATORS = frozenset(
    "empty zeros ones full rand randn randint arange linspace logspace eye tensor as_tensor empty_like zeros_like "
    "ones_like full_like rand_like randn_like randint_like new_empty new_zeros new_ones new_full new_tensor "
    "scalar_tensor from_numpy bernoulli multinomial normal tril_indices triu_indices empty_strided randperm".split()
)
_WRITERS = frozenset(["setitem", "copy_", "set_", "resize_"])


@dataclass(frozen=True, slots=True)
class Spec:
    """One torch function as the recorder treats it."""

    name: str
    kind: str
    is_inplace: bool = False
    is_silent: bool = False
    """Never recorded: metadata, randomness and grad-mode plumbing."""
    opened: Callable[..., Any] | None = None
    """Copy to run instead, with the mode on."""

    def writes(self, kwargs: dict[str, Any]) -> bool:
        """Whether this call writes into one of its arguments (functions of torch pass ``inplace`` on by name)."""
        return self.is_inplace or bool(kwargs.get("inplace")) or kwargs.get("out") is not None


_SILENT = frozenset(
    "size stride dim numel nelement element_size is_contiguous data_ptr storage untyped_storage storage_offset "
    "shape dtype device layout requires_grad grad_fn grad is_cuda is_leaf is_sparse is_quantized is_meta "
    "is_nested is_complex is_floating_point is_signed is_mkldnn is_cpu is_mps is_xpu ndim ndimension names "
    "_version _base itemsize nbytes item tolist numpy __len__ __bool__ __int__ __float__ __index__ __repr__ "
    "__format__ __hash__ __contains__ __array__ register_hook retain_grad backward get_device is_same_size "
    "manual_seed _set_grad_enabled set_grad_enabled requires_grad_ detach_ share_memory_ is_inference result_type "
    "can_cast is_pinned name output_nr volatile is_shared __deepcopy__ _is_view __reduce_ex__ __setstate__ "
    "__dir__ is_conj is_neg _is_zerotensor has_names register_post_accumulate_grad_hook get_default_dtype "
    "is_autocast_enabled equal allclose is_nonzero is_tensor is_storage __dlpack__ __cuda_array_interface__".split()
)


def spec_of(function: Any) -> Spec:
    """Describe ``function`` as a `torch.overrides` mode receives it."""
    spec, is_opened = _told(function)
    # Opened anew for every pass: somebody may patch what it calls.
    return replace(spec, opened=opened(function)) if is_opened else spec


@functools.lru_cache(maxsize=2048)
def _told(function: Any) -> tuple[Spec, bool]:
    """The same for every pass, and whether the function is one to be opened."""
    raw = _raw_name(function)
    if raw in _SILENT:
        return Spec(raw, "other", is_silent=True), False
    if getattr(function, "__module__", None) == "torch.nn.init":
        return Spec(raw, "other", is_silent=True), False
    is_inplace = _is_inplace(raw, function)
    name = raw.strip("_") if raw.startswith("__") else raw.rstrip("_") if is_inplace else raw
    name = _RENAMED.get(name, name)
    if _is_opened(function, name):
        return Spec(name, KIND_OF.get(name, "other")), True
    return Spec(name, KIND_OF.get(name, "other"), is_inplace=is_inplace), False


def _raw_name(function: Any) -> str:
    name = getattr(function, "__name__", None) or type(function).__name__
    if name in ("__get__", "__set__", "__delete__"):
        owner = getattr(function, "__self__", None)
        attribute = getattr(owner, "__name__", None) or getattr(getattr(owner, "fget", None), "__name__", "property")
        return str(attribute) if name == "__get__" else f"{attribute}.{name}"
    packet = getattr(function, "_overloadpacket", None)
    return str(packet.__name__ if packet is not None else name)


def _is_inplace(raw: str, function: Any) -> bool:
    if (
        raw in ("__setitem__",)
        or raw in _WRITERS
        or (raw.startswith("__i") and raw not in ("__invert__", "__index__", "__int__"))
    ):
        return True
    schema = getattr(function, "_schema", None)
    if schema is not None:
        return bool(schema.is_mutable)
    return raw.endswith("_") and not raw.endswith("__")


def _is_opened(function: Any, name: str) -> bool:
    """Open Python composites of torch.nn.functional that are not one operation by themselves."""
    return (
        isinstance(function, types.FunctionType)
        and function.__module__ == "torch.nn.functional"
        and KIND_OF.get(name, "other") in ("other",)
    )


def _never(*_: Any) -> bool:
    return False


def opened(function: Any) -> Callable[..., Any]:
    """Copy a Python composite so that it does not offer itself to the mode, and the calls inside it reach the mode."""
    blind = dict(function.__globals__)
    blind.update({key: _never for key in blind if key.startswith("has_torch_function")})
    name, defaults, closure = function.__name__, function.__defaults__, function.__closure__
    copied = types.FunctionType(function.__code__, blind, name, defaults, closure)
    copied.__kwdefaults__ = function.__kwdefaults__
    return copied
