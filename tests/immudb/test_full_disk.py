"""A server that can't write any more, in the middle of a large transaction."""

import resource
import shutil

import pytest

from backendkit.stores import Error, OperationalError
from tests.effort import chance as seeded
from tests.effort import examples

from .servers import Server
from .test_large_transactions import (
    ROWS,
    change,
    check_rest,
    fill,
    rounds,
    store_of,
    writing,
)

pytestmark = [
    pytest.mark.check,
    pytest.mark.skipif(
        not hasattr(resource, "prlimit"), reason="only Linux limits another process"
    ),
]

DISKS = examples(test=1, check=3, soak=50)


@pytest.fixture
def own(immudb_program, tmp_path):
    with Server(tmp_path / "full") as server:
        yield server


def allow(server, size):
    """Let no file of a server become larger than this."""
    limits = size, resource.RLIM_INFINITY
    resource.prlimit(server.pid, resource.RLIMIT_FSIZE, limits)


def largest(server):
    return max(path.stat().st_size for path in server.data.rglob("*") if path.is_file())


def make_indexes_anew(server):
    """Do what the message says."""
    server.stop()
    for folder in (server.data / "defaultdb").glob("index_*"):
        shutil.rmtree(folder)
    server.start()


def test_nothing_is_lost(own):
    """The error says what to do; then the transaction is there as a whole, or not at all."""

    def store(timeout=300.0):
        """A query of a damaged index may never end."""
        return store_of(own.port, own.password, timeout)

    fill(store())
    last, chance, told = 0, seeded("full disks"), 0
    for number in range(1, DISKS + 1):
        allow(own, largest(own) + chance.randrange(300_000))
        outcome = ""
        try:
            with writing(store(15.0)) as session:
                change(session, number, ROWS)
        except OperationalError as error:
            outcome = str(error)
            told += "delete the folders index_*" in outcome
        except Error as error:
            pytest.fail(f"{type(error)}: {error}")
        allow(own, resource.RLIM_INFINITY)
        make_indexes_anew(own)
        fresh = store()
        counts = rounds(fresh)
        if not outcome or "is committed" in outcome:
            assert counts == {number: ROWS}, outcome
        else:
            assert counts in ({number: ROWS}, {last: ROWS}), outcome
        check_rest(fresh, set())
        (last,) = counts
    assert told, "no file was full, or nobody said so"
