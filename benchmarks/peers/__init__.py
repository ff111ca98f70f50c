"""Other checkers on the same pairs of a bug and its repair, and on planted faults beside the sound networks."""
