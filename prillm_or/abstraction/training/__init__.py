"""Training of the networks of abstractions: scenarios, exact examples, fitting with checkpoints, scores."""
