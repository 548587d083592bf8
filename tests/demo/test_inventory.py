"""What the demo reads from packaging metadata, without a database."""

import pytest

from tracking.inventory import _requirements, installed, kind_of, slugify
from tracking.licences import (
    COPYLEFT,
    OTHER,
    PERMISSIVE,
    PUBLIC_DOMAIN,
    UNKNOWN,
    WEAK_COPYLEFT,
    licence_of,
)

from .running import SitePackages

OSI = "License :: OSI Approved :: "


@pytest.mark.parametrize(
    ("expression", "classifiers", "text", "expected"),
    [
        ("MIT", [], None, ("MIT", PERMISSIVE)),
        ("MIT OR Apache-2.0", [], None, ("MIT OR Apache-2.0", PERMISSIVE)),
        (None, [], "Apache License 2.0", ("Apache-2.0", PERMISSIVE)),
        (None, [OSI + "BSD License"], None, ("BSD-3-Clause", PERMISSIVE)),
        (None, [OSI + "MIT License"], "A text\n" * 100, ("A text", OTHER)),
        (None, [OSI + "MIT License"], "x" * 100, ("MIT", PERMISSIVE)),
        (None, [], "LGPL v3", ("LGPL v3", WEAK_COPYLEFT)),
        (None, [], "AGPL-3.0-only", ("AGPL-3.0-only", COPYLEFT)),
        (None, [], "Unlicense", ("Unlicense", PUBLIC_DOMAIN)),
        (None, ["License :: OSI Approved"], "UNKNOWN", (UNKNOWN, UNKNOWN)),
        (None, [], None, (UNKNOWN, UNKNOWN)),
    ],
)
def test_licences_have_one_name(expression, classifiers, text, expected):
    """
    An expression counts most, then a short text, then classifiers.
    """
    assert licence_of(expression, classifiers, text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("beta", ("beta", "", "", "")),
        ("Beta.Two_3 >= 1.0, <2", ("beta-two-3", ">= 1.0, <2", "", "")),
        ("beta (>=2)", ("beta", ">=2", "", "")),
        ("beta[a,b]>=1; python_version<'3'", ("beta", ">=1", "python_version<'3'", "")),
        ('beta; extra == "x"', ("beta", "", 'extra == "x"', "x")),
    ],
)
def test_requirements(text, expected):
    """
    Name, versions, marker and extra are told apart.
    """
    (found,) = _requirements("alpha", [text])

    assert (found.slug, found.specifier, found.marker, found.extra) == expected


def test_a_distribution_does_not_need_itself():
    """
    Extras that sum up extras are no dependency.
    """
    assert list(_requirements("alpha", ["alpha[a,b]; extra == 'all'"])) == []


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("a/b.py", "python"),
        ("a/b.CSS", "web"),
        ("a/__pycache__/b.cpython-313.pyc", "compiled"),
        ("a-1.dist-info/LICENSE.txt", "metadata"),
        ("../../bin/a", "other"),
    ],
)
def test_kinds_of_files(path, kind):
    """
    A file's kind follows from its path.
    """
    assert kind_of(path) == kind


def test_equal_versions_count_once(tmp_path):
    """
    The first directory wins where two have the same version.
    """
    first, second = (SitePackages(tmp_path / name) for name in ("one", "two"))
    first.install("Same_Name", "1.0", "Summary: first")
    second.install("same.name", "1.0", "Summary: second")
    second.install("same-name", "1.1")

    found = list(installed([str(first.path), str(second.path)]))

    assert [(item.slug, item.version, item.summary) for item in found] == [
        ("same-name", "1.0", "first"),
        ("same-name", "1.1", ""),
    ]
    assert slugify("A.-_b") == "a-b"


def test_a_missing_file_has_no_size(tmp_path):
    """
    A file that RECORD lists, but that isn't there, has no size; Python 3.12 and
    later leave it out.
    """
    site = SitePackages(tmp_path / "site")
    site.install("alpha", "1.0")
    record = site.path / "alpha-1.0.dist-info" / "RECORD"
    record.write_text(record.read_text() + "gone.py,,\n")

    (found,) = installed([str(site.path)])

    assert {file.path: file.size for file in found.files}.get("gone.py") is None
    assert len(found.files) >= 3
