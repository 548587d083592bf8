"""``docs/ref/backends.rst`` is what ``make compare`` would write now."""

import difflib

import django
import pytest

from . import pages

PAGE = pages.DOCS / "ref" / "backends.rst"


@pytest.mark.check
@pytest.mark.skipif(
    django.VERSION[:2] != (6, 1), reason="the page shows the features of Django 6.1"
)
def test_the_page_is_current(tmp_path):
    found = pages.run(tmp_path, pages.DOCS / "compare.py")
    changes = difflib.unified_diff(
        PAGE.read_text().splitlines(),
        found.splitlines(),
        "committed",
        "now",
        lineterm="",
    )
    assert "\n".join(changes) == "", "run `make compare`"
