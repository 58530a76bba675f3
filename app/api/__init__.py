"""The REST API: thin routes over the functions of `scheduler`, behind a few layers."""
