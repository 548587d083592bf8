import csv
import datetime
import re
from decimal import Decimal
from pathlib import Path

from backendkit import stores
from backendkit.stores import Column, DataError, OperationalError, Table, ValueType

# The first type that all texts of a column match is the column's.
TYPES = (
    (ValueType.INTEGER, "0|-?[1-9][0-9]{0,17}", int),
    (ValueType.DECIMAL, r"-?(0|[1-9][0-9]*)(\.[0-9]+)?", Decimal),
    (ValueType.DATE, "[0-9]{4}-[0-9]{2}-[0-9]{2}", datetime.date.fromisoformat),
)


def read_column(texts):
    for value_type, pattern, convert in TYPES:
        if any(texts) and all(re.fullmatch(pattern, text) for text in texts if text):
            try:
                return value_type, [convert(text) if text else None for text in texts]
            except ValueError:
                pass  # the 30th of February is a text
    return ValueType.STRING, texts


def read_table(path):
    with path.open(encoding="utf-8-sig", newline="") as file:
        names, *lines = [line for line in csv.reader(file, strict=True) if line] or [[]]
    lower = [name.lower() for name in names]
    if not all(names) or len({*lower}) < len(names):
        raise DataError(f"{path}: each column needs a name of its own")
    if any(len(line) != len(names) for line in lines):
        raise DataError(f"{path}: a line hasn't {len(names)} fields")
    read = {one: read_column(texts) for one, *texts in zip(names, *lines, strict=True)}
    key = names[lower.index("id")] if "id" in lower else "id"
    ids = read.setdefault(key, (ValueType.INTEGER, [*range(1, len(lines) + 1)]))[1]
    if len({*ids}) < len(ids) or None in ids:
        raise DataError(f"{path}: two lines have the same {key}, or one has none")
    columns = [Column(name, kind, name != key) for name, (kind, _) in read.items()]
    rows = zip(*(values for _, values in read.values()), strict=True)
    return Table(path.stem, tuple(columns), (key,)), [*rows]


class CsvStore(stores.ReadOnlyStore):
    driver_errors = {
        OSError: OperationalError,
        csv.Error: DataError,
        ValueError: DataError,
    }

    def __init__(self, folder):
        self.folder, self.known = Path(folder), {}

    @stores.safe_call
    def read(self):
        paths = sorted(path for path in self.folder.iterdir() if path.suffix == ".csv")
        for path in paths:
            stat = path.stat()
            stamp = stat.st_mtime_ns, stat.st_size, stat.st_ino
            if self.known.get(path.stem, [None])[0] != stamp:
                self.known[path.stem] = stamp, *read_table(path)
        return {path.stem: self.known[path.stem][1:] for path in paths}
