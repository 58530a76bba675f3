"""pgtick's command line, API and dashboard. It never imports `workers`, nor they it."""
