"""
Whatever is done to it, a BufferedSession is as the reference store.

BUFFERED_EXAMPLES
    How many random programs are run, 300 if not set.
BUFFERED_SEED
    Programs are the same in each run; any number here explores others.
"""

import os

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from backendkit.backends.memory.store import MemoryStore
from tests.engine.limited import CAPABILITIES, LimitedStore

from .buffered import BufferedStore
from .programs import Pair, programs

EXAMPLES = int(os.environ.get("BUFFERED_EXAMPLES", "300"))
SEED = os.environ.get("BUFFERED_SEED")

MODES = {
    "snapshots": {"serializable": False},
    "serializable": {},
    "read committed": {"snapshots": False, "serializable": False},
    "remote": {"remote": True, "update": True},
}


def explored(test):
    """Run a test on many programs."""
    test = settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=SEED is None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )(test)
    return test if SEED is None else seed(int(SEED))(test)


@pytest.mark.parametrize("mode", MODES)
@explored
@given(
    program=programs,
    capabilities=st.sampled_from([None, *sorted(CAPABILITIES)]),
)
def test_programs(mode, program, capabilities):
    """Random programs do the same to a buffered store and to the reference store."""
    inner = MemoryStore()
    if capabilities is not None:
        inner = LimitedStore(CAPABILITIES[capabilities])
    store = BufferedStore(inner, **MODES[mode])
    Pair(store.session(), MemoryStore().session()).run(*program)
