"""``docs/intro/tutorial.rst``: what it says to do is done."""

import re
import textwrap

import pytest

from . import pages

PAGE = pages.DOCS / "intro" / "tutorial.rst"


@pytest.mark.check
def test_the_tutorial(tmp_path):
    """A new project on LMDB, and what ``explain()`` prints in it."""
    printed = PAGE.read_text()
    pages.run(tmp_path, "-m", "django", "startproject", "mysite", ".")
    settings = tmp_path / "mysite" / "settings.py"
    (databases,) = re.findall(r"^   DATABASES = \{\n(?:   .*\n)+", printed, re.M)
    old = settings.read_text()
    new = re.sub(
        r"^DATABASES = \{\n.*?^\}\n",
        lambda _: textwrap.dedent(databases),
        old,
        flags=re.M | re.S,
    )
    assert new != old
    settings.write_text(new)
    pages.run(tmp_path, "manage.py", "migrate")
    assert (tmp_path / "data" / "data.mdb").exists()
    code = "\n".join(re.findall(r"^   >>> (.*)$", printed, re.M))
    said = pages.run(tmp_path, "manage.py", "shell", "-v0", "-c", code).strip()
    expected = re.findall(r"^   (native: .*)$", printed, re.M)
    assert len(expected) == 2
    assert said.splitlines()[-2:] == expected
