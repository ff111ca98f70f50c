"""One version, whoever asks."""

import stepzero
from stepzero.core.version import VERSION


def test_the_public_version_is_that_of_core():
    assert stepzero.__version__ == VERSION
