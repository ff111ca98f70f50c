"""Unit roundoff of a dtype by its name, without torch."""

_MANTISSA = {"float64": 53, "complex128": 53, "float32": 24, "complex64": 24, "float16": 11, "bfloat16": 8}
_NARROW = 4
"""8-bit floats keep 3 or 4 bits; anything unknown is taken as one of them."""


def unit_roundoff(dtype: str) -> float:
    """u: the largest relative error of rounding to nearest; 6.0e-8 for float32."""
    return 2.0 ** -_MANTISSA.get(dtype, _NARROW)
