"""Imports what models need once, in the parent: a child then starts with it."""

import contextlib
import gc
import importlib

from benchmarks.zoo.schemas import define_torchvision_schemas

LIBRARIES = ("timm", "torchvision", "diffusers", "peft")


def warm_up() -> None:
    """Import the heavy libraries, and keep the collector off them."""
    define_torchvision_schemas()
    for library in LIBRARIES:
        with contextlib.suppress(ImportError):
            importlib.import_module(library)
    import transformers

    transformers.logging.set_verbosity(transformers.logging.CRITICAL)
    assert transformers.GPT2LMHeadModel
    gc.freeze()  # or a collection in a child walks, and so copies, all that was imported here
