"""Jobs and handlers to start from."""
