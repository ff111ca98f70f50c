"""What every competitor trains: tanh networks on random samples, batches of 32 in a given order, plain SGD."""

from dataclasses import dataclass

INPUTS, OUTPUTS, SAMPLES, BATCH = 16, 10, 256, 32
LR = 0.05


@dataclass(frozen=True)
class Shape:
    width: int
    depth: int
    """Hidden layers."""
    networks: int = 512
    steps: int = 4
    """Steps in one timed stretch."""

    @property
    def dims(self) -> list[int]:
        return [INPUTS, *[self.width] * self.depth, OUTPUTS]

    @property
    def flops(self) -> int:
        """Floating-point operations of one step of one network, in its matrix products alone."""
        products = [first * second for first, second in zip(self.dims, self.dims[1:], strict=False)]
        return 2 * BATCH * (3 * sum(products) - products[0])
