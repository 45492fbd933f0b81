"""Latency on this machine: artifacts and their peers side by side, interleaved."""
