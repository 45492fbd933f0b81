"""Detectors after inference: boxes from raw maps, and how good they are. Needs no torch."""
