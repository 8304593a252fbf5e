"""Back ends, native and algebraic, one file each."""
