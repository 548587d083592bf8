"""What was measured, as Markdown and for a terminal."""

import statistics

from benchmarks import report

from .reads import MOST, QUICK, RATIO, Line

BEGIN, END = report.MILLION, "<!-- /immudb_million -->"
STEPS = ("step", "rows", "time", "client's processor", "client's memory", "server's")
READS = ("read", "Django", "driver", "Django : driver", "met")


def step_cells(steps):
    """Return the rows of the first table."""
    return [
        [
            one["name"],
            f"{one['rows']:,}",
            *(
                ["FAILED", "", "", ""]
                if "error" in one
                else [
                    report.amount(one["seconds"], "s"),
                    report.amount(one["processor"], "s"),
                    report.amount(one["peak"], "B"),
                    report.amount(one["server"], "B") if one["server"] else "",
                ]
            ),
        ]
        for one in steps
    ]


def read_cells(reads):
    """Return those of the second one."""
    return [
        [
            line.name,
            report.amount(statistics.median(line.django), "s"),
            report.amount(statistics.median(line.driver), "s"),
            f"{line.ratio:.2f}",
            "yes" if line.met else "NO",
        ]
        for line in (Line(**one) for one in reads)
    ]


def terminal(steps, reads):
    """Return both in columns."""
    tables = []
    if steps:
        tables.append([list(STEPS), *step_cells(steps)])
    if reads:
        tables.append([list(READS), *read_cells(reads)])
    return "\n\n".join("\n".join(report.columns(one, "  ")) for one in tables)


def _table(head, rows):
    rule = ["---"] + ["---:"] * (len(head) - 1)
    lines = report.columns([list(head), rule, *rows], " | ")
    return "\n".join(f"| {line} |" for line in lines)


def section(rows, steps, reads, machine):
    """Return the part of ``docs/benchmarks.md``, with its marks."""
    most = max((one["server"] or 0 for one in steps if "server" in one), default=0)
    met = sum(Line(**one).met for one in reads)
    memory = f"The server had at most {report.amount(most, 'B')}. " if most else ""
    return f"""\
{BEGIN}
## {rows:,} rows on immudb

A log of events with a time, a foreign key, an indexed text and a JSON, on a server with
default limits. Each step is a process of its own. Its memory is the most that it had,
the {_BARE} of Python and Django included. {memory}The sessions are rows, too.

{_table(STEPS, step_cells(steps))}

The same rows, read by Django and by the bare driver with the best statements for the
same answer, in turn; of a page, the driver's statements are summed, an exact count
included. Something is committed before each sample, so that all rows are counted again.
The target is {RATIO:.0f} times the driver's time, and {report.amount(MOST, "s")} where
that is less than {report.amount(QUICK, "s")}. {met} of {len(reads)} targets are met.

{_table(READS, read_cells(reads))}

{machine.listed()}
{END}
"""


#: About what a process has that does nothing.
_BARE = "60 MiB"


def write(page, text):
    """Put the section into the page, in place of the one that is there."""
    found = page.read_text(encoding="utf-8")
    before, mark, rest = found.partition(BEGIN)
    after = rest.partition(END)[2].lstrip("\n") if mark else ""
    kept = f"{before.rstrip()}\n\n{text}" + (f"\n{after}" if after else "")
    page.write_text(kept, encoding="utf-8")
