"""The REST API: thin routes over the functions of `scheduler`, behind layers that observe, authenticate, limit and cache."""
