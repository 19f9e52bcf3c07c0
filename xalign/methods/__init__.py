"""What goes beyond the paper's alignment: the systems that it builds on, one file each."""
