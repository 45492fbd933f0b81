"""Measures artifacts on a connected phone: builds an app with them, runs its benchmark, and fetches the report."""
