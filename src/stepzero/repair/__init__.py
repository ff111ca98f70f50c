"""WRITES a model, and nothing else does: findings or a scheme become a Plan, a Plan becomes values."""
