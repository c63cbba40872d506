"""Alerts: rules and facts -> alerts that start, alerts that end, and who is told."""
