"""What was measured, for people: in a terminal, as Markdown and for the documentation."""

import datetime
import math
import os
import platform
import re
from dataclasses import dataclass
from pathlib import Path

from .engines import ENGINES, NAMES
from .groups import FLOOR

COLUMNS = ("", *NAMES.values(), "LMDB : SQLite", "quartiles", "target", "met")
MEAN = "geometric mean of the operations"
#: Begins the part of the page that another module writes.
IMMUDB = "## immudb"
#: Begins that of a third one, behind it.
MILLION = "<!-- immudb_million -->"


@dataclass(frozen=True)
class Machine:
    """Where and when it was measured; all in words."""

    facts: dict[str, str]

    @classmethod
    def here(cls, directory, command):
        """Look around, before measuring."""
        import django

        model = _first(r"model name\s*:\s*(.+)", "/proc/cpuinfo") or platform.machine()
        memory = _first(r"MemTotal:\s*(\d+)", "/proc/meminfo")
        machine = f"{os.cpu_count()} processors, {model}"
        if memory:
            machine += f", {int(memory) / 2**20:.0f} GiB of memory"
        version = ".".join(platform.release().split(".")[:2])
        now = datetime.datetime.now(datetime.UTC)
        return cls(
            {
                "date": f"{now:%Y-%m-%d %H:%M} UTC",
                "command": command,
                "machine": machine,
                "load": f"{load()} before",
                "disk": f"{file_system(directory)}, {platform.system()} {version}",
                "Python": f"{platform.python_implementation()} {platform.python_version()}",
                "Django": django.__version__,
            }
        )

    def after(self, versions):
        """Add what is known after measuring."""
        self.facts["load"] += f", {load()} after (averages over a minute)"
        if os.getloadavg()[0] > os.cpu_count():
            self.facts["load"] += ". The machine was busy: run it again on a quiet one"
        self.facts["engines"] = "; ".join(versions)

    def listed(self):
        """Return the facts as a list in Markdown."""
        return "\n".join(
            f"- {name}: {f'`{text}`' if name == 'command' else text}"
            for name, text in self.facts.items()
        )

    def fields(self):
        """Return the facts as a list of fields in reStructuredText."""
        return "\n".join(
            f":{name}: {f'``{text}``' if name == 'command' else text}"
            for name, text in self.facts.items()
        )


def load():
    """Return how many processes wanted to run, on an average of the last minute."""
    return f"{os.getloadavg()[0]:.2f}"


def _first(pattern, path):
    try:
        found = re.search(pattern, Path(path).read_text(encoding="utf-8"))
    except OSError:
        return None
    return found and found[1]


def file_system(directory):
    """Return the type of a directory's file system: on "tmpfs" nothing is durable."""
    try:
        lines = Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()
    except OSError:
        return "unknown file system"
    path = directory.resolve()
    mounts = [line.split()[1:3] for line in lines]
    found = [(at, kind) for at, kind in mounts if path.is_relative_to(at)]
    return max(found, key=lambda one: len(one[0]), default=("", "unknown"))[1]


def amount(value, unit):
    """Return a time or a size with three digits."""
    if unit == "B":
        return f"{value / 2**20:.1f} MiB"
    factor, name = next(
        (one for one in ((1, "s"), (1e3, "ms")) if value * one[0] >= 1), (1e6, "µs")
    )
    # Three digits, but no exponent.
    value *= factor
    return f"{value:.{max(0, 2 - int(math.log10(value)))}f} {name}"


def cells(results, mean):
    """Return the table's rows, as texts."""
    rows = []
    for one in results:
        low, high = one.spread
        rows.append(
            [
                one.name,
                *(amount(one.median(engine), one.unit) for engine in ENGINES),
                f"{one.ratio:.2f}",
                f"{low:.2f} to {high:.2f}",
                "" if one.target is None else f"≤ {one.target}",
                _word(one.met),
            ]
        )
    last = ["", "", f"{mean.ratio:.2f}", "", f"≤ {mean.target}", _word(mean.met)]
    return [*rows, [MEAN, *last]]


def _word(met):
    return "" if met is None else "yes" if met else "NO"


def terminal(rows):
    """Return the table in columns."""
    return "\n".join(columns([list(COLUMNS), *rows], "  "))


def columns(rows, between):
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        between.join(
            # Names to the left, numbers to the right.
            cell.rjust(width) if place else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]


def summary(results, mean):
    """Return how many targets are met, as a sentence."""
    bound = [one for one in [*results, mean] if one.met is not None]
    met = sum(one.met for one in bound)
    return f"{met} of {len(bound)} targets are met."


def markdown(rows, said, machine):
    """Return ``docs/benchmarks.md``."""
    rule = ["-" * max(3, len(COLUMNS[0]))] + ["---:"] * (len(COLUMNS) - 1)
    head = ["operation", *COLUMNS[1:]]
    table = "\n".join(f"| {line} |" for line in columns([head, rule, *rows], " | "))
    return f"""\
# Benchmarks

This page compares Django on LMDB with Django on SQLite (WAL, `synchronous = FULL`). Both
were measured in one run, with files on the same disk and durable commits. Less is better.
{said}

![LMDB : SQLite for each operation](benchmarks.svg)

{table}

{machine.listed()}

[internals/benchmarks.rst](internals/benchmarks.rst) explains each line, and how it is
measured.
"""


def fragment(rows, said, machine):
    """Return the same for ``docs/internals/benchmarks.rst``, which includes it."""
    # Numbers stay with their units.
    kept = [[name, *(cell.replace(" ", "\xa0") for cell in row)] for name, *row in rows]
    table = list_table(["operation", *COLUMNS[1:]], kept)
    return f"{said}\n\n{table}\n\n{machine.fields()}\n"


def list_table(head, rows):
    """Return a table in reStructuredText."""
    lines = [".. list-table::", "   :header-rows: 1", ""]
    for row in [head, *rows]:
        for place, cell in enumerate(row):
            mark = "-" if place else "* -"
            lines.append(f"   {mark:>3} {cell}".rstrip())
    return "\n".join(lines)


def data(results, mean, machine):
    """Return all of it, for JSON."""
    return {
        "facts": machine.facts,
        "geometric mean": mean.ratio,
        "results": [
            {
                "name": one.name,
                "group": one.group,
                "unit": one.unit,
                "calls": one.calls,
                "ratio": one.ratio,
                "quartiles": one.spread,
                "target": one.target,
                "met": one.met,
                "values": one.values,
            }
            for one in results
        ],
    }


def write(directory, results, mean, machine):
    """Write what belongs into the documentation."""
    from .plot import plot

    rows, said = cells(results, mean), summary(results, mean)
    bars = [one for one in results if one.group != FLOOR]
    page = directory / "benchmarks.md"
    found = page.read_text(encoding="utf-8") if page.exists() else ""
    _, heading, rest = found.partition(IMMUDB)
    kept = f"\n{heading}{rest}" if heading else ""
    texts = {
        "benchmarks.md": markdown(rows, said, machine) + kept,
        "benchmarks.svg": plot(bars, mean),
        "internals/benchmarks.txt": fragment(rows, said, machine),
    }
    for name, text in texts.items():
        (directory / name).write_text(text, encoding="utf-8")
