"""``docs/howto/readonly.rst``: its code is run as it is printed."""

import re
import sys
import textwrap
from pathlib import Path

import pytest
from django.db import InternalError, connections, router

from backendkit.backends.readonly import ReadOnlyError
from tests.nonrel.models import Item

from .databases import aliases, run

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "readonly.rst"


def blocks():
    """The page's Python code, by caption; of several with one, joined."""
    found = {}
    pattern = r"^\.\. code-block:: python\n   :caption: (.+)\n\n((?:   .*\n|\n)+)"
    for name, text in re.findall(pattern, PAGE.read_text(), re.M):
        found[name] = found.get(name, "") + textwrap.dedent(text)
    return found


@pytest.fixture
def project(entry, tmp_path, monkeypatch):
    """The settings of the page, at the server of the tests; and its modules."""
    code = blocks()
    assert set(code) == {"settings.py", "shop/routers.py", "shop/readonly/base.py"}
    settings = {}
    exec(code["settings.py"], settings)
    for name, text in code.items():
        path = tmp_path / "readonly_page" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.syspath_prepend(tmp_path / "readonly_page")
    at = {key: entry[key] for key in ("NAME", "HOST", "PORT", "USER", "PASSWORD")}
    yield {name: {**found, **at} for name, found in settings["DATABASES"].items()}
    for name in [name for name in sys.modules if name.split(".")[0] == "shop"]:
        del sys.modules[name]


@pytest.mark.parametrize("kind", ["postgresql"])
def test_the_page(pair, project):
    from shop.routers import ReportsRouter

    few = {**project["default"], "ENGINE": "shop.readonly"}
    with aliases(**project, few=few):
        with connections["default"].schema_editor() as editor:
            editor.create_model(Item)
        router.routers = [ReportsRouter()]
        try:
            item = Item.objects.create(code="a")
            read = Item.objects.get()
            assert (item._state.db, read._state.db) == ("default", "reports")
            assert not router.allow_migrate("reports", "nonrel")
            assert router.allow_migrate("default", "nonrel")
        finally:
            del router.routers
        with pytest.raises(ReadOnlyError) as caught:
            Item.objects.using("reports").update(number=1)
        printed = re.sub(r"\s+", " ", PAGE.read_text())
        assert str(caught.value).replace("nonrel.Item", "shop.Item") in printed
        assert project["reports"]["TEST"] == {"MIRROR": "default"}

        assert run("few", "SELECT name FROM shop") == [("one",)]
        with pytest.raises(InternalError) as refused:
            run("few", "INSERT INTO shop (id, name) VALUES (9, 'x')")
        assert str(refused.value).strip() in printed
