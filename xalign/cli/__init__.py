"""The command line: one Typer function for each command; it parses, builds a configuration, and calls."""
