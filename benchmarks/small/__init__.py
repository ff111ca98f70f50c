"""Small networks on small tasks, and 200 steps of training: what the benchmarks of starts and of repairs share."""
