"""Embed artifacts into apps, and compare the device reports that the apps write."""
