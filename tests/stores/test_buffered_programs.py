"""Whatever is done to it, a BufferedSession is as the reference store."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backendkit.backends.memory.store import MemoryStore
from tests.effort import examples
from tests.engine.limited import CAPABILITIES, LimitedStore

from .buffered import BufferedStore
from .programs import Pair, programs

MODES = {
    "snapshots": {"serializable": False},
    "serializable": {},
    "read committed": {"snapshots": False, "serializable": False},
    "remote": {"remote": True, "update": True},
}


@pytest.mark.parametrize("mode", MODES)
@settings(
    max_examples=examples(test=25, check=150, soak=3000),
    suppress_health_check=list(HealthCheck),
)
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
