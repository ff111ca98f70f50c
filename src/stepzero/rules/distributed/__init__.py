"""Family 8: distributed and reproducibility."""
