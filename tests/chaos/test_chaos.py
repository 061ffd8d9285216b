# SPDX-License-Identifier: Apache-2.0
"""The short form of tests/chaos/run: a few seeds, few buyers, little time."""

import pytest

from conftest import BUILD
from scenario import Scenario

SEEDS = (1, 2, 3)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_is_lost_whatever_breaks(seed):
    scenario = Scenario(seed, seconds=10, buyers=150, stock=20, build=BUILD)
    assert scenario.run(), "\n".join(scenario.complaints)
