"""
Django's own test suite, pristine and unpatched, against any database ENGINE.

``python -m backendkit.conformance run ENGINE`` gets the source archive of a
Django release, runs its ``tests/runtests.py`` label by label, each in a process
of its own, and holds every test's result against a list of expectations:

``_archive``       the release's source archive: fetched, checked, unpacked
``_labels``        which labels to run
``_settings``      the settings that Django's suite runs with, per ENGINE
``_engine``        in a child: does the ENGINE work; drop what was left behind
``_preflight``     asks that child, before the first test
``probe``          inside Django's process: writes one line per test
``_guard``         a process between: no child outlives the run
``_served``        starts a server for one child, where we know how
``_jobs``          runs labels in processes, with time-outs
``_results``       what the lines say, as one result per test
``_expectations``  which tests are known to fail, and why, from TOML
``_baseline``      the same tests on Django's SQLite
``_verdicts``      results held against expectations, and the baseline's
``_run``           all of that together
``_report``        what it found out, as data
``_lint``          that list against releases, without a run
``_update``, ``_edit``  that list as a run says that it should be
``_terminal``, ``_html``, ``_junit``  the data for people and for CI servers
``marks``          that list for Django's own runner, when no other one runs
``management``     ``manage.py conformance``: the same for one of a project's databases

Nothing of Django is imported here, but in ``management`` and ``marks``, and in
``probe`` and ``_engine``, which run in the child processes on the archive's Django.
"""

from ._expectations import Entry, Expectations
from ._results import Outcome, TestResult
from ._verdicts import Verdict, judge

__all__ = [
    "Entry",
    "Expectations",
    "Outcome",
    "TestResult",
    "Verdict",
    "judge",
]
