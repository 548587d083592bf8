"""A file of expectations against releases, without running their tests."""

from pathlib import Path

import pytest

import backendkit.backends
from backendkit.conformance import _archive
from backendkit.conformance._errors import UsageError
from backendkit.conformance.cli import main

from .conftest import pack, release

# Would be lost or fail, if they were run.
PLANS = {
    "one": {"one.T.a": "hang", "one.T.b": "fail", "one.U.a": "die"},
    "two": {"two.T.a": "fail"},
    "odd": {"unittest.loader._FailedTest.odd.tests": "fail", "odd.other.T.a": "pass"},
    "gone": "end",
}
NO_TEST = "there is no such test or class in Django"
DEAD = "matches no supported release"
CLEAN = '[[xfail]]\ntests = ["one.T.a", "one.U"]\nreason = "Known."\n'


@pytest.fixture
def lint(make_archive, tmp_path, capfd):
    """Check a file against the imitated release 9.1.2; the status and the lines."""

    def lint(listed, *args, plans=PLANS, engine="fake_engine"):
        file = tmp_path / "expectations.toml"
        file.write_text(listed)
        command = ["lint", engine, "--expectations", str(file)]
        if plans:
            command += ["--archive", str(make_archive(plans))]
        status = main([*command, *args])
        out, err = capfd.readouterr()
        return status, (out + err).replace(f"{file}: ", "").splitlines()

    return lint


@pytest.fixture
def releases(cache, monkeypatch):
    """Three imitated releases, and no way to get another one."""

    def refuse(wanted):
        raise UsageError(f"no {wanted} here")

    monkeypatch.setattr(_archive, "installed_django", lambda: None)
    monkeypatch.setattr(_archive, "_download", refuse)
    for version, plans in {
        "5.2.7": {"one": {"one.T.a": "pass"}},
        "6.0.1": {"one": {"one.T.a": "pass"}, "new": {"new.T.a": "pass"}},
    }.items():
        archive = cache / f"Django-{version}.tar.gz"
        pack(archive, release(plans, version=version), f"django-{version}")


def test_tests_and_classes_that_are_there_are_fine(lint):
    assert lint(CLEAN) == (
        0,
        ["2 tests or classes in 1 entries, Django 9.1.2: 0 findings"],
    )


def test_every_finding_has_its_place(lint):
    listed = """
        [[raises]]
        tests = ["one.T"]
        exception = "ValueError"
        match = "x"
        reason = "FIXME: say why"

        [[xfail]]
        tests = ["one.T.gone", "nope.T.a", "two.T.a"]
        reason = "Known."

        [[skip]]
        tests = ["two.T", "two.U"]
        django = "<4.0"
        reason = "Known."
    """
    assert lint(listed) == (
        1,
        [
            "[[raises]] number 1: the entry has no reason yet: FIXME: say why",
            f"[[xfail]] number 1: one.T.gone: {NO_TEST} 9.1.2",
            "[[xfail]] number 1: nope.T.a: there is no label nope in Django 9.1.2",
            f"[[skip]] number 1: django = '<4.0' {DEAD} (5.2, 6.0, 6.1)",
            "6 tests or classes in 3 entries, Django 9.1.2: 4 findings",
        ],
    )


def test_what_the_file_itself_says_wrong_is_a_finding(lint):
    status, lines = lint(CLEAN + CLEAN)
    assert status == 1
    assert lines == [
        "[[xfail]] number 2: one.T.a is listed twice, see [[xfail]] number 1",
        "0 tests or classes in 0 entries, Django 9.1.2: 1 findings",
    ]


def test_a_module_that_cannot_be_imported_is_not_taken_for_empty(lint):
    """Nor are the modules beside it."""
    listed = '[[xfail]]\ntests = ["odd.tests.T.a", "odd.other.T"]\nreason = "Known."'
    status, lines = lint(listed)
    assert status == 1
    (line,) = lines[:-1]
    assert line.endswith(
        ": odd.tests.T.a: odd.tests can't be imported, on Django 9.1.2"
    )


def test_a_release_that_tells_no_tests_is_a_wrong_call(lint):
    status, lines = lint('[[xfail]]\ntests = ["gone.T"]\nreason = "Known."')
    assert status == 2
    (line,) = lines
    assert "the tests of Django 9.1.2 can't be collected" in line
    assert line.endswith("with ENGINE 'fake_engine': no database")


def test_each_release_is_asked_for_what_is_about_it(lint, releases):
    """A release that can't be had is left out, and says so."""
    listed = """
        [[xfail]]
        tests = ["one.T.a", "one.T.b", "new.T.a"]
        reason = "Known."

        [[xfail]]
        tests = ["new.T"]
        django = ">=6.0"
        reason = "Known."

        [[xfail]]
        tests = ["new.U"]
        django = ">=6.1"
        reason = "Nobody knows, without 6.1."
    """
    assert lint(listed, plans=None) == (
        1,
        [
            "Django 6.1 is left out: no 6.1 here",
            f"[[xfail]] number 1: one.T.b: {NO_TEST} 5.2.7, 6.0.1",
            "[[xfail]] number 1: new.T.a: there is no label new in Django 5.2.7",
            "5 tests or classes in 3 entries, Django 5.2.7, 6.0.1: 2 findings",
        ],
    )


def test_a_release_that_was_asked_for_has_to_be_had(lint, releases):
    status, lines = lint(CLEAN, "--django", "6.0", "6.1", plans=None)
    assert (status, lines) == (2, ["backendkit.conformance: no 6.1 here"])
    status, lines = lint(CLEAN, "--django", "6.0", "--django", "5.2", plans=None)
    assert lines[-1].startswith("2 tests or classes in 1 entries, Django 6.0.1, 5.2.7")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["fake_engine", "--expectations", "none.toml"], "none.toml doesn't exist"),
        (["no.such.engine"], "ENGINE 'no.such.engine' can't be found"),
        (["nosuchengine"], "ENGINE 'nosuchengine' can't be found"),
    ],
)
def test_wrong_calls(args, message, cache, capfd):
    assert main(["lint", *args]) == 2
    assert message in capfd.readouterr().err


def test_labels_are_refused(capfd):
    with pytest.raises(SystemExit, match="2"):
        main(["lint", "fake_engine", "basic"])
    assert "unknown argument: basic" in capfd.readouterr().err


def test_an_engine_without_a_file_is_clean(tmp_path, monkeypatch, capfd):
    (tmp_path / "plain_engine").mkdir()
    (tmp_path / "plain_engine" / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    assert main(["lint", "plain_engine"]) == 0
    assert capfd.readouterr().out == "plain_engine has no file of expectations\n"


@pytest.mark.check
@pytest.mark.parametrize(
    "engine",
    [
        f"backendkit.backends.{file.parent.name}"
        for file in sorted(
            Path(backendkit.backends.__file__).parent.glob("*/expectations.toml")
        )
    ],
)
def test_our_own_files_are_clean(engine, capfd):
    """Against the installed Django: Django's own tests, truly collected."""
    try:
        archive = str(_archive.get_source().root)
    except UsageError as e:
        pytest.skip(str(e))
    status = main(["lint", engine, "--archive", archive])
    out = capfd.readouterr().out
    assert (status, out.endswith(": 0 findings\n")) == (0, True), out
