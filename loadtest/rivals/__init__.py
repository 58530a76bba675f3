"""The rivals beside us, on one server and in one run."""
