"""Workers: independent units of work, on this machine or a cluster, and the lines that keep what is done."""
