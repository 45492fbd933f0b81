"""Where the fixtures are that tests in three languages read."""

from pathlib import Path

FIXTURES = Path(__file__).parents[1] / "schemas" / "fixtures"
