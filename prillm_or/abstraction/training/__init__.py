"""Training of the networks that abstract: scenarios, exact examples, fitting with checkpoints, scores."""
