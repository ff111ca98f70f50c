"""COUNT: pure functions that say which findings count, given what was suppressed, known before, or due to a seed."""
