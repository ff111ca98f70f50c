"""One generator a tensor, keyed by what the tensor is called: adding a layer leaves the draws of the others alone.

Python's ``hash`` differs from process to process, so the key is a digest. The generator of the processor starts from
the lower 32 bits of its seed: among k keys of equally shaped tensors two coincide with probability k^2 / 2^33, 1e-7
for 32.
"""

import hashlib
import re

from torch import Generator

VERSION = 1
"""Part of every key; a change of what is drawn changes it."""

_WRAPPERS = {"_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}
_OUTER = "module"
"""What DataParallel and DistributedDataParallel call the model; elsewhere it is a name like any other."""
_PARAMETRISED = re.compile(r"(^|\.)parametrizations\.([^.]+)\.original\d*$")


def canonical_name(name: str) -> str:
    """The parameter's path as the bare model has it.

    Wrappers of compilation, sharding, checkpointing and data parallelism are stripped;
    ``a.parametrizations.weight.original0`` is ``a.weight``.
    """
    parts = [part for part in _PARAMETRISED.sub(r"\1\2", name).split(".") if part not in _WRAPPERS]
    while len(parts) > 1 and parts[0] == _OUTER:
        parts = parts[1:]
    return ".".join(parts)


def generator_for(seed: int, name: str, block: int | str = 0, expert: int = 0) -> Generator:
    """A generator of the processor for one block of one expert of one parameter.

    Args:
        seed: The user's seed.
        name: Path of the parameter; wrappers do not matter (`canonical_name`).
        block: Packed block, by number or by name (``"q"``), so that packed and separate layouts can share draws.
        expert: Index of the expert.

    Returns:
        A new generator seeded by blake2b-64 of ``version|seed|name|block|expert``.
    """
    key = f"{VERSION}|{seed}|{canonical_name(name)}|{block}|{expert}"
    digest = hashlib.blake2b(key.encode(), digest_size=8).digest()
    return Generator().manual_seed(int.from_bytes(digest, "little"))
