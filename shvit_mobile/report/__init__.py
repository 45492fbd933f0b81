"""One HTML page and one JSON out of everything that was measured of a model."""
