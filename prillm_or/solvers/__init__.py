"""Back ends, native and algebraic, one file each, and what they share."""
