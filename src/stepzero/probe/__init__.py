"""Reads a live model and leaves it untouched, bit for bit."""
