"""Family 3: forward signal."""
