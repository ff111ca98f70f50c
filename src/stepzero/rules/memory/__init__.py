"""Family 1: memory and provenance."""
