"""A server that can't write any more, in the middle of a large transaction."""

import resource

import pytest

from backendkit.stores import OperationalError

from .servers import Server
from .test_large_transactions import ROWS, change, fill, store_of, writing

pytestmark = [
    pytest.mark.check,
    pytest.mark.skipif(
        not hasattr(resource, "prlimit"), reason="only Linux limits another process"
    ),
]


def test_the_error_says_what_is_at_stake(immudb_program, tmp_path):
    """That the indexes are wrong afterwards isn't seen by reading."""
    with Server(tmp_path / "full") as server:
        store = store_of(server.port, server.password)
        fill(store)
        largest = max(
            path.stat().st_size for path in server.data.rglob("*") if path.is_file()
        )
        limits = largest + 10_000, resource.RLIM_INFINITY
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, limits)
        with pytest.raises(OperationalError, match=r"disk is full.*wrong rows.*backup"):
            for number in range(1, 20):
                with writing(store) as session:
                    change(session, number, ROWS)
        # It may not be able to stop.
        server.kill()
