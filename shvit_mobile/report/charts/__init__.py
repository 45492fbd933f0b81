"""Charts as SVG: positions in percent, so that they fill any width while their texts keep their size."""
