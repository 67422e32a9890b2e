"""The shared pool of gloo processes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from gloo_pool import GlooPool


@pytest.fixture(scope="session")
def gloo() -> Iterator[GlooPool]:
    """Three processes, started at the first test that asks for them."""
    pool = GlooPool()
    yield pool
    pool.close()
