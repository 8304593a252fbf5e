"""What the leader earns over one of several decisions with the others at their best, and over two at once."""
