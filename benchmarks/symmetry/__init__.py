"""What the symmetry probe foretells against what training does: theorems, a planted population, the nine cells."""
