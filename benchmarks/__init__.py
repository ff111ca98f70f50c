"""Runs that judge stepzero from outside: a zoo of published models, and its cost against a plain training step."""
