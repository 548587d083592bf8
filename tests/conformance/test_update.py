"""What a run found out, written into the file of expectations."""

import itertools
import os
import sys
import tempfile
import textwrap
from io import StringIO
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from backendkit.conformance import Expectations, Outcome, TestResult, judge
from backendkit.conformance._edit import Text
from backendkit.conformance._errors import UsageError
from backendkit.conformance._expectations import SUPPORTED, read, select
from backendkit.conformance._jobs import LabelRun
from backendkit.conformance._report import Label, Report
from backendkit.conformance._results import Raised
from backendkit.conformance._run import Run
from backendkit.conformance._update import REASON, _entry, update
from backendkit.conformance._versions import in_range
from backendkit.conformance.cli import main

HEADER = "# Django's own tests that fail on this backend, with the reasons.\n\n"


@pytest.fixture
def run(make_archive, tmp_path, capfd):
    """Run with --update on an imitated 6.1.2; the status, output and file."""
    file = tmp_path / "expectations.toml"

    def run(plans, listed=None, *labels, args=("--no-baseline",), version="6.1.2"):
        if listed is not None:
            file.write_text(textwrap.dedent(listed))
        command = ["run", "fake_engine", *labels, "--expectations", str(file)]
        command += ["--archive", str(make_archive(plans, version=version))]
        status = main([*command, "--update", *args])
        out, err = capfd.readouterr()
        assert not list(tmp_path.glob(".expectations-*"))
        return status, out + err, file.read_text() if file.exists() else None

    return run


def toml(text):
    return textwrap.dedent(text).lstrip("\n")


def test_what_fails_is_listed_with_no_excuse(run):
    """By what it raised; the run goes on failing until someone says why."""
    plans = {
        "one": {
            "one.T.d": "raise builtins.ValueError: 1 != 2 (really?)",
            "one.T.a": "raise django.db.utils.DatabaseError: no\nstore",
            "one.T.c": "fail",
            "one.T.b": "pass",
        },
        "two": {
            "two.T.a": "raise builtins.ValueError: 1 != 2 (really?)",
            "two.T.b": "fail",
        },
    }
    status, out, text = run(plans)
    assert status == 1
    expected = HEADER + toml(r"""
        [[raises]]
        tests = ["one.T.a"]
        exception = "django.db.utils.DatabaseError"
        match = '^no\n'
        reason = "FIXME: say why"

        [[xfail]]
        tests = [
            "one.T.c",
            "two.T.b",
        ]
        reason = "FIXME: say why"

        [[raises]]
        tests = [
            "one.T.d",
            "two.T.a",
        ]
        exception = "ValueError"
        match = '^1 != 2 \(really\?\)$'
        reason = "FIXME: say why"
    """)
    assert text == expected
    assert "\n+[[raises]]\n" in out
    assert out.endswith("expectations.toml: updated\n")

    status, out, text = run(plans)
    assert (status, text) == (1, expected)
    assert "one.T.d is listed as raises without a reason. Add one" in out
    assert out.endswith("expectations.toml: nothing to update\n")
    assert "\n+" not in out


def test_no_file_is_made_for_nothing(run):
    status, out, text = run({"one": {"one.T.a": "pass"}})
    assert (status, text) == (0, None)
    assert out.endswith("expectations.toml: nothing to update\n")


def test_nothing_else_is_touched(run, tmp_path):
    """Comments, order and layout; nor what labels that didn't run say."""
    listed = """
        # Of the file.

        # --- Locks ---

        [[xfail]]  # first
        tests = [
            # on a
            "one.T.a",  # beside a
            # on b
            "one.T.b",  # beside b
            'one.T.c'
        ]
        reason = 'As it "is".'   # why

        # --- Text ---
        [[raises]]
        reason = "Known."
        match    = 'a\\.b'
        exception= "ValueError"
        tests = ["one.T.d"]
        # On the end of it.

        [[xfail]]
        tests = ["one.T.e"]
        django = ">=6.1"
        reason = '''
        Long,
        # and no comment
        '''

        # --- Other ---


        [[skip]]
        tests = ["other.T"]
        reason = "Hangs."
        # The end.
    """
    plans = {
        "one": {
            "one.T.a": "fail",
            "one.T.b": "pass",
            "one.T.c": "fail",
            "one.T.d": "raise builtins.ValueError: a.b",
            "one.T.e": "pass",
            "one.T.new": "fail",
        },
        "other": {"other.T.a": "pass"},
    }
    (tmp_path / "expectations.toml").touch(mode=0o640)
    (tmp_path / "expectations.toml").chmod(0o640)
    _, out, text = run(plans, listed, "one")
    assert text == textwrap.dedent("""
        # Of the file.

        # --- Locks ---

        [[xfail]]  # first
        tests = [
            # on a
            "one.T.a",  # beside a
            # on b
            'one.T.c'
        ]
        reason = 'As it "is".'   # why

        [[xfail]]
        tests = ["one.T.b"]
        reason = 'As it "is".'
        django = "!=6.1"

        # --- Text ---
        [[raises]]
        reason = "Known."
        match    = 'a\\.b'
        exception= "ValueError"
        tests = ["one.T.d"]
        # On the end of it.

        # --- Other ---


        [[skip]]
        tests = ["other.T"]
        reason = "Hangs."
        # The end.

        [[xfail]]
        tests = ["one.T.new"]
        reason = "FIXME: say why"
    """)
    assert "\n-[[xfail]]\n" in out
    assert (tmp_path / "expectations.toml").stat().st_mode & 0o777 == 0o640
    assert run(plans, None, "one")[2] == text


@pytest.mark.check
def test_lines_end_as_they_did(run, tmp_path):
    file = tmp_path / "expectations.toml"
    file.write_bytes(
        b'# A\r\n[[xfail]]\r\ntests = ["one.T.a", "one.T.b"]\r\nreason = "x"\r\n'
    )
    run({"one": {"one.T.a": "pass", "one.T.b": "fail"}})
    assert file.read_bytes() == (
        b'# A\r\n[[xfail]]\r\ntests = ["one.T.b"]\r\nreason = "x"\r\n\r\n'
        b'[[xfail]]\r\ntests = ["one.T.a"]\r\nreason = "x"\r\ndjango = "!=6.1"\r\n'
    )


@pytest.mark.check
@pytest.mark.parametrize(
    ("django", "after"),
    [
        ("", 'django = "!=6.1"\n'),
        (">=6.0", 'django = ">=6.0,!=6.1"\n'),
        ("!=5.2,!=6.0", None),
        ("==6.1", None),
        (">=6.1.1", None),
        (">=5.2.9,<6.0", 'django = ">=5.2.9,<6.0"\n'),
    ],
)
def test_what_passes_may_still_hold_on_other_releases(run, django, after):
    """It isn't listed for this one any more; without a release, not at all."""
    line = f'django = "{django}"\n' if django else ""
    listed = f'[[xfail]]\ntests = ["one.T.a"]\nreason = "x"\n{line}'
    _, _, text = run({"one": {"one.T.a": "pass"}}, listed)
    expected = f'[[xfail]]\ntests = ["one.T.a"]\nreason = "x"\n{after}'
    assert text == (expected if after else "")


def test_a_class_of_which_some_pass_becomes_its_tests(run):
    """Those that fail as listed, or of which nobody knows."""
    listed = """
        [[xfail]]
        tests = ["one.T", "one.U"]
        django = ">=6.1"
        reason = "x"
    """
    plans = {
        "one": {
            "one.T.a": "pass",
            "one.T.b": "fail",
            "one.T.c": "skip",
            "one.T.d": "die",
            "one.U.a": "fail",
            "one.U.b": "skip",
        }
    }
    _, _, text = run(plans, listed)
    assert 'tests = ["one.T.b", "one.T.d", "one.U"]\n' in text


@pytest.mark.check
def test_a_class_stays_one_for_other_releases(run):
    listed = '[[xfail]]\ntests = ["one.T"]\nreason = "x"\n'
    plans = {"one": {"one.T.a": "pass", "one.T.b": "fail"}}
    _, _, text = run(plans, listed)
    assert text == toml("""
        [[xfail]]
        tests = ["one.T"]
        reason = "x"
        django = "!=6.1"

        [[xfail]]
        tests = ["one.T.b"]
        reason = "x"
        django = "==6.1"
    """)


@pytest.mark.check
def test_a_class_that_was_not_run_whole_stays(run):
    """Also where all that ran of it was skipped."""
    listed = '[[xfail]]\ntests = ["one.T", "one.U"]\nreason = "x"\n'
    plans = {"one": {"one.T.a": "pass", "one.T.b": "fail", "one.U.a": "skip"}}
    status, out, text = run(plans, listed, "one.T.a", "one.U.a")
    assert (status, text) == (1, listed)
    assert "one.T didn't run completely, so its entry is unchanged\n" in out
    assert out.endswith("expectations.toml: nothing to update\n")


@pytest.mark.check
def test_what_raises_something_else_is_listed_anew(run):
    """For this release only, if the old entry may hold on another one."""
    listed = """
        [[raises]]
        tests = ["one.T.a", "one.T.b"]
        exception = "ValueError"
        match = "old"
        reason = "x"

        [[raises]]
        tests = ["one.U", "one.V.a"]
        exception = "ValueError"
        match = "old"
        reason = "x"
        django = "==6.1"
    """
    plans = {
        "one": {
            "one.T.a": "raise builtins.ValueError: new",
            "one.T.b": "raise builtins.ValueError: old",
            "one.U.a": "raise builtins.ValueError: new",
            "one.U.b": "raise builtins.ValueError: old",
            "one.V.a": "raise builtins.ValueError: new",
        }
    }
    _, _, text = run(plans, listed)
    assert text == textwrap.dedent("""
        [[raises]]
        tests = ["one.T.b"]
        exception = "ValueError"
        match = "old"
        reason = "x"

        [[raises]]
        tests = ["one.T.a"]
        exception = "ValueError"
        match = "old"
        reason = "x"
        django = "!=6.1"

        [[raises]]
        tests = ["one.U"]
        exception = "ValueError"
        match = "old"
        reason = "x"
        django = "==6.1"

        [[raises]]
        tests = ["one.T.a"]
        exception = "ValueError"
        match = "^new$"
        reason = "FIXME: say why"
        django = "==6.1"

        [[raises]]
        tests = [
            "one.U.a",
            "one.V.a",
        ]
        exception = "ValueError"
        match = "^new$"
        reason = "FIXME: say why"
    """)


@pytest.mark.check
def test_equal_entries_share_a_table(run):
    """A list that gets too long for its line gets a line for each test."""
    listed = """
        [[xfail]]
        tests = ["one.TheTestsOfSomething.a"]
        reason = "x"
        django = "!=6.1"

        [[xfail]]
        tests = ["one.TheTestsOfSomething.a_longer_one", "one.TheTestsOfSomething.c"]
        reason = "x"
    """
    plans = {
        "one": {
            "one.TheTestsOfSomething.a": "pass",
            "one.TheTestsOfSomething.a_longer_one": "pass",
            "one.TheTestsOfSomething.c": "fail",
        }
    }
    _, _, text = run(plans, listed)
    assert text == textwrap.dedent("""
        [[xfail]]
        tests = ["one.TheTestsOfSomething.a", "one.TheTestsOfSomething.a_longer_one"]
        reason = "x"
        django = "!=6.1"

        [[xfail]]
        tests = ["one.TheTestsOfSomething.c"]
        reason = "x"
    """)


def test_an_entry_for_another_server_is_left_alone(run):
    """What fails on this one is listed for this one; the imitation's is 16.4."""
    listed = '[[xfail]]\ntests = ["one.T.a"]\nreason = "x"\nserver = "<16"\n'
    _, _, text = run({"one": {"one.T.a": "fail"}}, listed)
    assert text == listed + toml("""

        [[xfail]]
        tests = ["one.T.a"]
        reason = "FIXME: say why"
        django = "==6.1"
        server = "==16.4"
    """).replace("[[", "\n[[", 1)


def test_what_names_no_test_or_proves_nothing_leaves(run):
    """Here; a test of another release has its own name there."""
    listed = """
        [[xfail]]
        tests = ["one.T.gone", "one.T.skipped", "other.T.gone"]
        reason = "x"
        django = "==6.1"

        [[skip]]
        tests = ["one.Gone"]
        reason = "x"
    """
    plans = {"one": {"one.T.skipped": "skip"}, "other": {"other.T.a": "pass"}}
    _, _, text = run(plans, listed, "one")
    assert text == textwrap.dedent("""
        [[xfail]]
        tests = ["other.T.gone"]
        reason = "x"
        django = "==6.1"

        [[skip]]
        tests = ["one.Gone"]
        reason = "x"
        django = "!=6.1"
    """)


@pytest.mark.check
@pytest.mark.parametrize(
    "plan", ["end", {"unittest.loader._FailedTest.one.tests": "fail"}]
)
def test_a_label_that_cannot_be_loaded_empties_nothing(run, plan):
    listed = '[[xfail]]\ntests = ["one.tests.T"]\nreason = "x"\n'
    status, out, text = run({"one": plan}, listed)
    assert (status, text) == (1, listed)
    assert "one.tests.T didn't run completely" in out
    assert out.endswith("expectations.toml: nothing to update\n")


@pytest.mark.check
def test_lost_tests_and_those_that_fail_on_the_baseline_are_never_listed(run):
    """One that was listed, and fails on the baseline too, needs that no more."""
    plans = {
        "one": {
            "one.T.dies": "die",
            "one.T.too": "fail",
            "one.T.listed": "raise builtins.ValueError: new",
            "one.T.base": {"fake_engine": "fail", "base_engine": "pass"},
        }
    }
    listed = """
        [[raises]]
        tests = ["one.T.listed"]
        exception = "ValueError"
        match = "old"
        reason = "x"
        django = "==6.1"
    """
    _, _, text = run(plans, listed, args=("--baseline", "base_engine"))
    assert text == toml("""
        [[xfail]]
        tests = ["one.T.base"]
        reason = "FIXME: say why"
    """).join(["\n", ""])


@pytest.mark.check
def test_the_file_is_made_in_the_backends_package(
    make_archive, tmp_path, monkeypatch, capfd
):
    package = tmp_path / "own_engine"
    package.mkdir()
    (package / "__init__.py").write_text("")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    archive = make_archive({"one": {"one.T.a": "fail"}}, version="6.1.2")
    args = ["run", "own_engine", "--archive", str(archive), "--no-baseline"]
    assert main([*args, "--update"]) == 1
    assert (package / "expectations.toml").read_text() == HEADER + toml(f"""
        [[xfail]]
        tests = ["one.T.a"]
        reason = "{REASON}"
    """)
    # It is found by itself from now on.
    assert main(args) == 1
    assert "one.T.a is listed as xfail without a reason" in capfd.readouterr().out


def test_a_file_that_was_changed_during_the_run_stays(run, tmp_path, monkeypatch):
    listed = '[[xfail]]\ntests = ["one.T.a"]\nreason = "old"\n'
    go = Run.go

    def slow(self, stream):
        (tmp_path / "expectations.toml").write_text(listed.replace("old", "new"))
        return go(self, stream)

    monkeypatch.setattr(Run, "go", slow)
    status, out, text = run({"one": {"one.T.a": "pass"}}, listed)
    assert (status, text) == (1, listed.replace("old", "new"))
    assert "was changed during the run" in out


def refused(run, *args, **kwargs):
    """A wrong call, before any test ran."""
    status, out, _ = run({"one": {"one.T.a": "fail"}}, *args, **kwargs)
    assert status == 2
    assert "FAILED" not in out
    return out


@pytest.mark.check
@pytest.mark.parametrize(
    "listed",
    [
        'xfail = [{tests = ["one.T.a"], reason = "x"}]\n',
        '[[xfail]]\ntests = ["one.T.a"]\nreason = """\n[[xfail]]\n"""\n',
    ],
)
def test_a_file_that_cannot_be_cut_into_tables_is_refused(run, listed):
    out = refused(run, listed)
    assert "expectations.toml can't be edited: write each entry as a [[table]]" in out


def test_without_tomlkit_it_says_what_to_install(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "tomlkit", None)
    assert "pip install 'django-backendkit[conformance]'" in refused(run)


def test_a_release_that_nothing_is_listed_for_is_refused(run):
    assert "not for 9.1.2" in refused(run, version="9.1.2")


def test_the_sources_of_django_are_never_written_to(make_archive, capfd):
    archive = make_archive({"one": {"one.T.a": "fail"}}, version="6.1.2")
    args = ["run", "fake_engine", "--archive", str(archive), "--no-baseline"]
    assert main([*args, "--update"]) == 2
    assert "fake_engine is Django's own backend. Name a file" in capfd.readouterr().err


def test_a_folder_that_is_not_there_is_refused(run, tmp_path):
    file = tmp_path / "none" / "e.toml"
    args = ("--no-baseline", "--expectations", str(file))
    assert f"{file.parent} can't be written to" in refused(run, args=args)


@pytest.mark.parametrize(
    ("exceptions", "exception", "match"),
    [
        ([("m.Err", "one")], "m.Err", "^one$"),
        ([("builtins.ValueError", "a\nb")], "ValueError", r"^a\n"),
        ([("m.Err", "\n \n  a b  \n")], "m.Err", r"^\s*  a b  \n"),
        ([("m.Err", "x" * 121)], "m.Err", "^" + "x" * 120),
        ([("m.Err", "a-b #1 \ud800")], "m.Err", "^a-b #1 .$"),
        ([("m.Err", "one"), ("m.Err", "one")], "m.Err", "^one$"),
        ([("m.Err", "one"), ("m.Err", "two")], "", ""),
        ([("m.Err", "one"), ("n.Err", "one")], "", ""),
        ([("m.Err", " \n")], "", ""),
        ([], "", ""),
    ],
)
def test_an_entry_expects_what_happened_and_nothing_else(exceptions, exception, match):
    raised = tuple(Raised((name, "builtins.Exception"), t) for name, t in exceptions)
    entry = _entry(TestResult("a.T.x", Outcome.ERROR, exceptions=raised))
    assert (entry.exception, entry.match) == (exception, match)
    assert entry.kind == ("raises" if exception else "xfail")
    assert all(entry.expects(error) for error in raised if match)


# Random files, and random runs of all the tests that they may list.

IDS = [f"one.{cls}.{test}" for cls in "TU" for test in "ab"]
TEXTS = ["no rows", "no table"]

_ranges = st.sampled_from(
    ["", "", "==6.1", "==6.0", "!=6.1", ">=6.0", "<6.0", "<6.1.1", ">=5.2,<6.1"]
)
_outcomes = st.one_of(
    st.sampled_from([Outcome.PASSED, Outcome.SKIPPED, Outcome.LOST, Outcome.XPASSED]),
    st.sampled_from(TEXTS),
)


@st.composite
def _tables(draw):
    kind = draw(st.sampled_from(["xfail", "raises"]))
    tests = st.sampled_from([*IDS, "one.T", "one.U", "one.T.gone"])
    lines = [f"[[{kind}]]"]
    lines += [f"tests = {draw(st.lists(tests, min_size=1, max_size=3, unique=True))}"]
    lines += [f"reason = '{draw(st.sampled_from(['x', 'y', REASON]))}'"]
    if kind == "raises":
        lines += ["exception = 'Err'", f"match = '{draw(st.sampled_from(TEXTS))}'"]
    if django := draw(_ranges):
        lines += [f"django = '{django}'"]
    if server := draw(st.sampled_from(["", "", "", "<16", ">=16"])):
        lines += [f"server = '{server}'"]
    lines += draw(st.lists(st.sampled_from(["", "# c"]), max_size=3))
    return "\n".join(lines) + "\n"


_files = st.lists(_tables(), max_size=5).map("".join)


def _result(test, outcome):
    if isinstance(outcome, Outcome):
        return TestResult(test, outcome)
    raised = (Raised(("m.Err",), outcome),)
    return TestResult(test, Outcome.ERROR, exceptions=raised)


def _imitated(file, outcomes, baseline, server):
    """A run of release 6.1.3, and its report."""
    entries = read(file)
    run = SimpleNamespace(
        file=file,
        entries=entries,
        expectations=select(entries, "6.1.3", server),
        tree=SimpleNamespace(version="6.1.3"),
        engine={"server": server},
        groups={"one": ["one"]},
    )
    results = [_result(*pair) for pair in outcomes.items()]
    judged = [judge(r, run.expectations, baseline.get(r.id)) for r in results]
    label = Label(LabelRun("one", True, list(outcomes), results, 0.0), judged)
    report = Report({}, [label])
    report.problems = Run._problems(run, report)
    return run, report


def _is_added(said):
    return said is not None and said[1] == REASON


def _says(expectations: Expectations, test):
    entry = expectations.find(test)
    return entry and (entry.kind, entry.reason, entry.exception, entry.match)


@given(
    _files,
    st.fixed_dictionaries(dict.fromkeys(IDS, _outcomes)),
    st.dictionaries(st.sampled_from(IDS), st.just(Outcome.FAILED)),
    st.sampled_from(["16.4", None]),
)
@example(
    # What leaves the one is in the other.
    "[[xfail]]\ntests = ['one.T.a']\nreason = 'x'\n"
    "[[xfail]]\ntests = ['one.T']\nreason = 'x'\n",
    {**dict.fromkeys(IDS, Outcome.PASSED), "one.T.b": TEXTS[0]},
    {},
    "16.4",
)
@example(
    # What takes the place of the one is listed by the other.
    "[[xfail]]\ntests = ['one.T.a']\nreason = 'x'\nserver = '<16'\n"
    "[[xfail]]\ntests = ['one.T']\nreason = 'x'\n",
    {**dict.fromkeys(IDS, Outcome.PASSED), "one.T.a": TEXTS[0]},
    {},
    "16.4",
)
def test_an_update_is_right_here_and_changes_nothing_elsewhere(
    text, outcomes, baseline, server
):
    """And doing it twice does nothing."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "expectations.toml"
        file.write_text(text)
        try:
            before = read(file)
        except UsageError:
            return  # a test that is listed twice
        assert str(Text(text)).strip() == text.strip()
        run, report = _imitated(file, outcomes, baseline, server)
        update(run, report, file, out := StringIO())
        assert os.listdir(folder) == ["expectations.toml"]
        after = read(file)
        updated = file.read_text()
        run, report = _imitated(file, outcomes, baseline, server)
        update(run, report, file, StringIO())
        assert file.read_text() == updated

        for one in report.judged():
            if one.verdict.deviation and outcomes[one.result.id] in TEXTS:
                # No range of servers holds one whose version isn't known.
                assert server is None
                assert f"{one.result.id} fails, but is only listed" in out.getvalue()
            elif one.verdict.deviation:
                # Nobody excuses those, and Django's own marks aren't in the file.
                assert outcomes[one.result.id] in {Outcome.LOST, Outcome.XPASSED}
        assert {problem.kind for problem in report.problems} <= {"unreviewed"}

        elsewhere = [v for v in SUPPORTED if not in_range(v, "==6.1")]
        for version, other in itertools.product(elsewhere, ["15.1", "16.4", None]):
            was, is_now = (select(e, version, other) for e in (before, after))
            for test in [*IDS, "one.T.gone", "one.T.other"]:
                said = _says(was, test)
                # What fails here and is listed nowhere may fail there, too.
                if said or not _is_added(_says(is_now, test)):
                    assert _says(is_now, test) == said, (version, other, test)
        assert updated.count("# c") == text.count("# c")
