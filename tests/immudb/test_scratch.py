"""The notes of a history: on disk, and as guarded as any other SQLite."""

import types

import apsw
import pytest

from backendkit.backends.immudb.ledger.scratch import Scratch


def entry(*, deleted, value):
    return types.SimpleNamespace(
        metadata=types.SimpleNamespace(deleted=deleted), value=value
    )


def test_notes_come_back_in_order():
    with Scratch() as scratch:
        assert [scratch.count(key) for key in (b"a", b"b", b"a")] == [1, 1, 2]
        scratch.note(b"a", 3, entry(deleted=False, value=b"old"), 30, 0)
        scratch.note(b"b", 4, entry(deleted=True, value=b""), 40, 1)
        scratch.note(b"c", 4, entry(deleted=False, value=b"\0"), 40, 0)
        scratch.note(b"a", 5, entry(deleted=False, value=b"new"), 50, 0)
        assert list(scratch.noted()) == [
            (4, 40, False, b"\0"),
            (4, 40, True, b""),
            (5, 50, False, b"new"),
        ]


@pytest.mark.parametrize("sql", ["ATTACH '{}' AS x", "SELECT load_extension('{}')"])
def test_notes_have_no_other_files(tmp_path, sql):
    with Scratch() as scratch, pytest.raises(apsw.Error):
        scratch._file.execute(sql.format(tmp_path / "victim"))
    assert not list(tmp_path.iterdir())
