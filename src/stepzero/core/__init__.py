"""Nouns: frozen data that every other layer speaks in. Imports nothing of stepzero but itself, and never torch."""
