"""Family 4: gradients."""
