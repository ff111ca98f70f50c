"""Family 2: symmetry and redundancy."""
