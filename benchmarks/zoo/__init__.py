"""Published architectures with random weights, and a judge that nothing of them changes when they are checked."""
