"""Family 6: biases and embeddings."""
