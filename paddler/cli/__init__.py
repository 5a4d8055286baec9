"""Command lines: argv and environment become frozen settings; signals, exit codes."""
