"""Watching a load test while it runs: a live panel, plain and JSON lines, a Prometheus endpoint."""
