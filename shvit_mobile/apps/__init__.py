"""Putting artifacts into an app, with all that it needs to run and to check them, and taking them out again."""
