"""Network-steps a second: the fleet against a loop of plain PyTorch, torch.func's vmap and jax, one thread each."""
