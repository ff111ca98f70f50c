"""Faults of many kinds, planted in networks of many kinds, and the same writes in forms that do no harm."""
