"""Settings for every test: one thread a worker, since the tests themselves run in parallel."""

import os

import pytest
from hypothesis import HealthCheck, settings

# Before torch is imported. Several workers with several threads each, on few cores, mostly wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

settings.register_profile("project", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("project")


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)
