"""jax's part, run by an interpreter that has jax: answers each line of stdin with seconds a network-step.

Stands alone: jax and this package's torch need not live in one environment.
"""

import functools
import json
import sys
import time

import jax
import jax.numpy as jnp
from shape import BATCH, INPUTS, LR, OUTPUTS, SAMPLES, Shape


def forward(parameters, x):
    for W, b in parameters[:-1]:
        x = jnp.tanh(x @ W.T + b)
    W, b = parameters[-1]
    return x @ W.T + b


def loss(parameters, x, y):
    logarithms = jax.nn.log_softmax(forward(parameters, x))
    return -jnp.take_along_axis(logarithms, y[:, None], 1).mean()


def one(parameters, x, y):
    gradients = jax.grad(loss)(parameters, x, y)
    return jax.tree.map(lambda w, g: w - LR * g, parameters, gradients)


@functools.partial(jax.jit, donate_argnums=0)
def step(parameters, x, y, chosen):
    return jax.vmap(one)(parameters, x[chosen], y[chosen])


@functools.cache
def prepared(shape):
    key = jax.random.key(0)
    make = functools.partial(jax.random.normal, dtype=jnp.float32)
    parameters = []
    for columns, rows in zip(shape.dims, shape.dims[1:], strict=False):
        key, own = jax.random.split(key)
        W = make(own, (shape.networks, rows, columns)) / columns**0.5
        parameters.append((W, jnp.zeros((shape.networks, rows))))
    x, y = make(key, (SAMPLES, INPUTS)), jax.random.randint(key, (SAMPLES,), 0, OUTPUTS)
    order = jax.random.randint(key, (shape.steps, shape.networks, BATCH), 0, SAMPLES)
    return [step(parameters, x, y, order[0])], x, y, order


def main():
    for line in sys.stdin:
        shape = Shape(**json.loads(line))
        held, x, y, order = prepared(shape)
        start = time.perf_counter()
        for chosen in order:
            held[0] = step(held[0], x, y, chosen)
        jax.block_until_ready(held[0])
        print((time.perf_counter() - start) / shape.steps / shape.networks, flush=True)


if __name__ == "__main__":
    main()
