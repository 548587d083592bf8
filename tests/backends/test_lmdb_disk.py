"""LMDB on disks that are full, read-only or have lost a part of the file."""

import os
import random
import shutil
import subprocess

import lmdb
import pytest
from tests.effort import effort

from backendkit.backends.lmdb.pages import is_complete
from backendkit.backends.lmdb.store import LMDBStore
from backendkit.stores import (
    Access,
    OperationalError,
    Table,
)

from .lmdb_processes import BOOK, in_fork, run


@pytest.fixture
def path(tmp_path):
    return tmp_path / "db"


# A disk that is full or read-only


def _can_mount():
    """Whether a process may have file systems of its own."""
    if not shutil.which("unshare"):
        return False
    command = ["unshare", "-rm", "mount", "-t", "tmpfs", "none", "/mnt"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.fixture(scope="module")
def mounted():
    """A command that runs another one with a file system of 8 MiB at a folder."""
    if not _can_mount():
        pytest.skip("needs unshare, and a kernel that lets this user mount a tmpfs")

    def command(folder):
        script = f'mount -t tmpfs -o size=8m none {folder} && exec "$@"'
        return ["unshare", "-rm", "sh", "-c", script, "sh"]

    return command


FILL = """
        store = opened(sync=True, timeout=1)
        add(store, 100, table=True)
        before = 100
        # Small transactions, one after the other, until it's full.
        errors = []
        while not errors:
            try:
                add(store, 500)
                before += 500
            except OperationalError as error:
                errors.append(str(error))
        print(errors[0])
        assert count(store) == before, (count(store), before)
        # A large one, which LMDB writes in parts.
        try:
            add(store, 50_000)
            raise AssertionError("there was room")
        except OperationalError:
            pass
        assert count(store) == before
        # Deleting needs room too, to write what is left; and reading goes on.
        make_room()
        add(store, 1000)
        assert count(store) == before + 1000
        store.close()
        store = opened()
        assert count(store) == before + 1000
        session = store.session()
        session.begin(write=True)
        last = session.insert(BOOK, [(None, "last")])[0][0]
        # A number of a lost transaction is free again.
        assert last == before + 1001, (last, before)
        session.rollback()
        print("all there")
"""


def test_full_disk(path, mounted):
    """An error, the transaction gone, the rest there; it goes on with new room."""
    disk = path.parent / "disk"
    disk.mkdir()
    code = f"""
        import subprocess
        def make_room():
            options = "remount,size=64m"
            subprocess.run(["mount", "-o", options, "none", {str(disk)!r}], check=True)
    """
    message, end = run(code + FILL, disk / "db", before=mounted(disk))
    assert "is full" in message
    assert end == "all there"
    assert os.listdir(disk) == []


def test_limit_of_the_file_size(path):
    """The same where the process isn't allowed to make the file larger."""
    code = """
        import resource
        limit, hard = 8 << 20, resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
        def make_room():
            resource.setrlimit(resource.RLIMIT_FSIZE, (64 << 20, hard))
    """
    message, end = run(code + FILL, path)
    assert "File too large" in message or "is full" in message
    assert end == "all there"


def test_full_disk_from_the_start(path, mounted):
    """No room for a new database: an error, and room helps."""
    disk = path.parent / "disk"
    disk.mkdir()
    code = f"""
        import subprocess
        with open({str(disk / "letter")!r}, "wb", buffering=0) as letter:
            try:
                while True:
                    letter.write(bytes(4096))
            except OSError:
                pass
        try:
            opened()
            raise AssertionError("there was room")
        except OperationalError as error:
            print(error)
        os.remove({str(disk / "letter")!r})
        store = opened()
        add(store, 3, table=True)
        print(count(store))
    """
    message, rows = run(code, disk / "db", before=mounted(disk))
    assert "unable to" in message
    assert "No more disk space" in message or "No space left" in message
    assert rows == "3"


def test_read_only_disk(path, mounted):
    """It can be read if that is all that is asked for; the message says why not."""
    disk = path.parent / "disk"
    disk.mkdir()
    code = f"""
        import subprocess
        store = opened()
        add(store, 3, table=True)
        store.close()
        options = "remount,ro"
        subprocess.run(["mount", "-o", options, "none", {str(disk)!r}], check=True)
        for name in (sys.argv[1], sys.argv[1] + "2"):
            try:
                LMDBStore.open(name)
                raise AssertionError("opened")
            except OperationalError as error:
                print(error)
        store = opened(readonly=True)
        print(count(store))
        try:
            add(store, 1)
        except OperationalError as error:
            print(error)
    """
    wrong, new, rows, write = run(code, disk / "db", before=mounted(disk))
    assert "unable to open database" in wrong
    assert "Read-only file system" in wrong
    assert "unable to create" in new
    assert rows == "3"
    assert "readonly" in write


# A file that is cut off


def rows(path):
    """Read all rows, through both trees, and write one."""
    store = LMDBStore.open(path, {"sync": False})
    try:
        session = store.session()
        session.begin(write=True)
        for index in ("", "book_text"):
            query = session.query(BOOK, ("id", "text"), Access(index))
            found = len(list(query.fetch()))
        session.insert(BOOK, [(None, "new")] * 100)
        session.commit()
        return found
    finally:
        store.close()


@pytest.fixture
def made(path):
    """A database with pages of all kinds, in use and free."""
    generator = random.Random(5)
    store = LMDBStore.open(path, {"sync": False})
    session = store.session()
    session.begin(write=True)
    session.create_table(BOOK)
    session.commit()
    for _ in range(20):
        session.begin(write=True)
        for _ in range(20):
            size = generator.choice((10, 300))
            text = generator.randbytes(size // 2).hex()
            session.insert(BOOK, [(None, text)])
        keys = [(generator.randrange(1, 400),) for _ in range(15)]
        session.delete(BOOK, keys)
        session.commit()
    session.close()
    store.close()
    return path


def test_a_truncated_file(made, tmp_path):
    """Wherever it was cut: an error that says so, or all is there. No SIGBUS."""
    whole = (made / "data.mdb").read_bytes()
    expected = rows(_copy(made, tmp_path / "whole", whole))
    generator = random.Random(7)
    cuts = {0, 1, 100, 4095, 4096, 4097, 8191, 8192, len(whole) - 1}
    cuts |= set(range(8192, len(whole), effort(test=5, check=1, soak=1) * 4096))
    others = effort(test=5, check=50, soak=500)
    cuts |= {generator.randrange(len(whole)) for _ in range(others)}
    for cut in sorted(cuts):
        copy = _copy(made, tmp_path / f"cut-{cut}", whole[:cut])

        def child(copy=copy, cut=cut):
            message = ""
            try:
                assert rows(copy) == expected
            except OperationalError as error:
                message = str(error)
            if message:
                assert "unable to open" in message
                assert cut < 8192 or "truncated" in message
                assert (copy / "data.mdb").read_bytes() == whole[:cut]

        assert in_fork(child) == 0, cut
        shutil.rmtree(copy)


def _copy(made, target, data):
    target.mkdir()
    shutil.copy(made / "writer.lock", target)
    (target / "data.mdb").write_bytes(data)
    return target


def test_a_truncated_file_is_not_destroyed(made):
    """``destroy`` removes what it can tell to be a database of ours."""
    data = (made / "data.mdb").read_bytes()[: 5 * 4096]
    (made / "data.mdb").write_bytes(data)
    with pytest.raises(OperationalError, match="truncated"):
        LMDBStore.destroy(made)
    assert (made / "data.mdb").read_bytes() == data


def test_a_short_file_may_be_whole(path):
    """Pages taken and given back in one transaction were never written."""
    store = LMDBStore.open(path, {"sync": False})
    session = store.session()
    session.begin(write=True)
    session.create_table(Table("book", BOOK.columns, ("id",)))
    book = session.catalog().tables["book"]
    for size in range(100_000, 3_000_000, 200_000):
        ((key,),) = session.insert(book, [(None, "x" * size)])
        session.delete(book, [(key,)])
        session.commit()
        session.begin(write=True)
    session.close()
    used = store.info().used
    store.close()
    assert (path / "data.mdb").stat().st_size < used - 100_000
    assert is_complete(path / "data.mdb")
    LMDBStore.open(path).close()


@pytest.mark.parametrize("seed", range(3))
def test_no_whole_file_looks_truncated(path, seed):
    """Whatever was written and freed, in one transaction or many."""
    generator = random.Random(seed)
    short = 0
    environment = lmdb.open(str(path), map_size=1 << 28, sync=False)
    for _ in range(60):
        with environment.begin(write=True) as transaction:
            for _ in range(generator.randint(1, 100)):
                key = str(generator.randrange(2000)).encode()
                transaction.put(key, bytes(generator.choice((10, 500, 3000))))
            for _ in range(generator.randint(0, 200)):
                transaction.delete(str(generator.randrange(2000)).encode())
            if generator.random() < 0.5:
                transaction.put(b"big", bytes(generator.randint(1 << 16, 1 << 21)))
                if generator.random() < 0.7:
                    transaction.delete(b"big")
        last = environment.info()["last_pgno"]
        short += (path / "data.mdb").stat().st_size < (last + 1) * 4096
        assert is_complete(path / "data.mdb")
    environment.close()
    assert short, "the test meets no short file"
