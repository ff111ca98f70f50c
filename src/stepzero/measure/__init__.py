"""Numbers: pure functions on tensors and shapes, one quantity each."""
