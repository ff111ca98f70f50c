"""The runtime type checker of the tests: beartype, with int accepted for float as PEP 484 has it.

It must not draw: a check that picks a random item of a container moves the state of `random`, which stepzero promises
to leave alone and tests compare.
"""

from beartype import BeartypeConf, beartype

typechecker = beartype(conf=BeartypeConf(is_pep484_tower=True, is_random=False))
