"""Pages that repeat what is measured or defined elsewhere repeat it as it is."""

import re

from backendkit.backends.immudb.catalog import OWN
from backendkit.kv.formats import NEWEST

from . import pages

MEASURED = (pages.DOCS / "benchmarks.md").read_text()


def test_figures_of_the_choice_were_measured():
    """Each row of the table is one of the results, SQLite, LMDB and their ratio."""
    page = (pages.DOCS / "intro" / "choose.rst").read_text()
    rows = re.findall(
        r"^   \* - .+\n     - (.+)\n     - (.+)\n     - ([\d.]+)$", page, re.M
    )
    assert len(rows) > 8
    results = [
        tuple(cell.strip() for cell in line.split("|")[2:5])
        for line in MEASURED.splitlines()
        if line.startswith("| ")
    ]
    for row in rows:
        assert row in results, row


def test_figures_of_sizing_were_measured():
    page = (pages.DOCS / "howto" / "deployment.rst").read_text()

    sqlite_and_lmdb, _, immudb = MEASURED.partition("## immudb")

    def result(operation, column, part=sqlite_and_lmdb):
        (line,) = [line for line in part.splitlines() if f"| {operation} " in line]
        number, unit = line.split("|")[column].split()
        return float(number) * {"µs": 1e-6, "ms": 1e-3, "s": 1}[unit]

    lmdb = 3
    assert f"takes {result('create(), autocommit', lmdb) * 1e3:.1f} ms on LMDB" in page
    assert f"takes {result('get() by primary key', lmdb) * 1e3:.2f} ms on\n" in page
    written = {
        int(number.replace(",", ""))
        for number in re.findall(r"([\d,]+)\s+rows\s+a\s+second", page)
    }
    many = "bulk_create() of 10,000"
    assert written == {
        round(10_000 / result(many, lmdb), -3),
        round(10_000 / result(many, 2, immudb), -3),
    }


def test_formats():
    """All of them, and no other, are on their page."""
    page = (pages.DOCS / "ref" / "formats.rst").read_text()
    numbers = [int(number) for number in re.findall(r"^(\d+)       \S", page, re.M)]
    assert numbers == list(range(1, NEWEST + 1))
    assert set(re.findall(r"^``(backendkit_\w+)``  ", page, re.M)) == OWN
