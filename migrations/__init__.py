"""The way from an empty database to today's schema: revisions once, functions whenever they changed."""
