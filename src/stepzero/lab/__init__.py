"""The lab: many small networks really trained, so that a claim about starts can be tried instead of believed.

result = stepzero.lab.run(stepzero.lab.Grid(weights=["zero", "lecun"], biases=["zero", "random"], seeds=20))
result.networks()
"""

from stepzero.lab.grid import Grid
from stepzero.lab.running import Progress, Result, resume, run

__all__ = ["Grid", "Progress", "Result", "resume", "run"]
