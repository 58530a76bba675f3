"""Fixtures of the workers' tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from workers.processes import Keeper


@pytest.fixture
def keeper() -> Iterator[Keeper]:
    """A keeper; what is still registered dies with it."""
    keeper = Keeper()
    yield keeper
    keeper.close()
