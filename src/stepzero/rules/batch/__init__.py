"""Family 9: the batch and the run."""
