"""``manage.py lmdb_info``."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from typing import Any

import lmdb
from django.core.management.base import CommandParser

from backendkit.backends.lmdb.files import DATA_FILE
from backendkit.backends.lmdb.management.base import LMDBCommand
from backendkit.backends.lmdb.store import LMDBStore
from backendkit.kv import KeyValueTransaction
from backendkit.kv.keys import AFTER

#: Of the pages that hold no data, those that are no free ones either. (Free ones
#: include those few that say which ones are free.)
_META_PAGES = 2


class Command(LMDBCommand):
    """Figures of the file, its tables, and who reads it."""

    help = (
        "Shows the size of an LMDB database, its tables, and the processes that read"
        " it."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--json", action="store_true", help="Print the result as JSON."
        )
        parser.add_argument(
            "--quick",
            action="store_true",
            help="Leave out the size of each table, which takes reading all rows.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        with self.opened(options["database"]) as store:
            figures = _figures(store)
            figures["tables"] = _tables(store, quick=options["quick"])
        if options["json"]:
            self.stdout.write(json.dumps(figures, indent=2))
        else:
            self.stdout.write("\n".join(_lines(figures)))


def _figures(store: LMDBStore) -> dict[str, Any]:
    environment = store.engine.environment
    # First: a transaction of ours would be among them.
    readers = _readers(environment.lmdb)
    info, stat = environment.lmdb.info(), environment.lmdb.stat()
    file = os.stat(os.path.join(environment.path, DATA_FILE))
    pages = info["last_pgno"] + 1
    data_pages = stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"]
    return {
        "path": environment.path,
        "lmdb_version": ".".join(map(str, lmdb.version())),
        "map_size": info["map_size"],
        "max_size": store.options.max_size,
        "file_size": file.st_size,
        "disk_size": file.st_blocks * 512,  # POSIX's unit
        "page_size": stat["psize"],
        "pages": pages,
        "free_pages": pages - _META_PAGES - data_pages,
        "used": pages * stat["psize"],
        "last_transaction": info["last_txnid"],
        "last_written": datetime.fromtimestamp(file.st_mtime, UTC).isoformat(
            timespec="seconds"
        ),
        "max_readers": info["max_readers"],
        "readers": readers,
    }


def _readers(environment: lmdb.Environment) -> list[dict[str, Any]]:
    """Return who reads, as LMDB's table of readers has it."""
    readers = []
    for line in environment.readers().splitlines()[1:]:
        pid, thread, transaction = line.split()
        if int(pid) == os.getpid():
            continue
        readers.append(
            {
                "pid": int(pid),
                "thread": thread,
                # "-": the process has a place in the table, but no transaction.
                "transaction": None if transaction == "-" else int(transaction),
                "stale": not _is_running(int(pid)),
            }
        )
    return readers


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # another user's
    return True


def _tables(store: LMDBStore, *, quick: bool) -> list[dict[str, Any]]:
    session = store.session()
    session.begin(write=False)
    try:
        tables = []
        for table in sorted(session.catalog().tables.values(), key=lambda t: t.name):
            record = session.record(table)
            figures: dict[str, Any] = {
                "name": table.name,
                "rows": session.estimated_rows(table),
            }
            if not quick:
                transaction = session.active()
                figures["row_bytes"] = _bytes(transaction, record.prefix)
                figures["index_bytes"] = sum(
                    _bytes(transaction, one.prefix) for one in record.maintainers
                )
            tables.append(figures)
        return tables
    finally:
        session.close()


def _bytes(transaction: KeyValueTransaction, prefix: bytes) -> int:
    pairs = transaction.range(prefix, prefix + AFTER)
    return sum(len(key) + len(value) for key, value in pairs)


def _lines(figures: dict[str, Any]) -> list[str]:
    free = figures["free_pages"] * figures["page_size"]
    limit = figures["max_size"]
    named = [
        ("Database", figures["path"]),
        ("LMDB", figures["lmdb_version"]),
        (
            "File",
            f"{_size(figures['file_size'])}, on disk {_size(figures['disk_size'])}",
        ),
        ("Used", f"{_size(figures['used'])}, of which {_size(free)} can be reused"),
        ("Map", f"{_size(figures['map_size'])} of address space"),
        ("May grow to", _size(limit) if limit else "the size of the disk"),
        ("Pages", f"{figures['pages']:,} of {figures['page_size']:,} bytes"),
        ("Free pages", f"{figures['free_pages']:,}"),
        (
            "Last transaction",
            f"{figures['last_transaction']:,}, {figures['last_written']}",
        ),
        ("Readers", f"{len(figures['readers'])} of {figures['max_readers']:,}"),
    ]
    width = max(len(name) for name, _ in named) + 2
    lines = [f"{name + ':':<{width}}{value}" for name, value in named]
    for reader in figures["readers"]:
        at = reader["transaction"]
        doing = "no transaction" if at is None else f"transaction {at:,}"
        stale = ", which has ended: its slot is stale" if reader["stale"] else ""
        lines.append(f"  process {reader['pid']}, {doing}{stale}")
    lines.append("")
    if not figures["tables"]:
        return [*lines, "No tables."]
    columns = [name for name in figures["tables"][0] if name != "name"]
    titles = [name.replace("_", " ") for name in columns]
    longest = max(5, *(len(table["name"]) for table in figures["tables"]))
    lines.append(f"{'table':<{longest}}" + "".join(f"{title:>16}" for title in titles))
    lines += [
        f"{table['name']:<{longest}}"
        + "".join(f"{table[column]:>16,}" for column in columns)
        for table in figures["tables"]
    ]
    return lines


def _size(count: int) -> str:
    """Return bytes in a unit that people read."""
    if count < 1024:
        return f"{count} bytes"
    size, units = count / 1024, ["TiB", "GiB", "MiB", "KiB"]
    while size >= 1024 and len(units) > 1:
        size /= 1024
        units.pop()
    return f"{size:.1f} {units[-1]}"
