"""What looking costs: a capture against one plain forward and backward pass of the same model."""
