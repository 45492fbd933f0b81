"""Settings for every test: one thread a worker, since the tests themselves run in parallel."""

import os

import pytest
from hypothesis import HealthCheck, settings

# Before torch is imported. Several workers with several threads each, on few cores, mostly wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# The same examples on every machine, so that a change is judged by what it changed; `search` looks for new ones
# (`make test-search`).
settings.register_profile(
    "project", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.register_profile("search", settings.get_profile("project"), derandomize=False, max_examples=1000)
settings.load_profile("project")


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)
