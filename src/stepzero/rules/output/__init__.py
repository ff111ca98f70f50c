"""Family 5: output and loss."""
