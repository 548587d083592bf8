"""Every command, option, setting and public name has a page."""

import ast
import importlib
import re

import pytest
from django.core.management.base import BaseCommand

from backendkit.backends.immudb.base import DatabaseWrapper as Immudb
from backendkit.backends.lmdb.base import DatabaseWrapper as Lmdb
from backendkit.backends.memory.base import DatabaseWrapper as Memory
from backendkit.nonrel import base
from tests.django_setup import set_up

from . import pages

SOURCE = pages.ROOT / "src"
#: Modules whose names are documented elsewhere: those of PEP 249, of Django, or another's.
OTHERS = {
    "backendkit.engine.dbapi": "PEP 249",
    "immudb_backend.base": "backendkit.backends.immudb.base",
}
#: Set for the processes that are started here, and read by nobody else.
INTERNAL = {"DJANGO_SETTINGS_MODULE"}


def text_of(*folders):
    return "\n".join(
        path.read_text()
        for folder in folders
        for path in sorted((pages.DOCS / folder).glob("*.rst"))
    )


USERS = text_of("intro", "howto", "ref")
EVERYONE = USERS + text_of("internals", "design")


def mentioned(name, text=USERS):
    """Whether a text has a name by itself."""
    return re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text) is not None


def modules():
    for path in sorted(SOURCE.rglob("*.py")):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        name = ".".join(parts).removesuffix(".__init__")
        if not any(part.startswith("_") for part in name.split(".")):
            yield name, path


def public():
    """The names in ``__all__`` of every public module."""
    for module, path in modules():
        text = path.read_text()
        if module in OTHERS or "\n__all__" not in text:
            continue
        for node in ast.parse(text).body:
            if isinstance(node, ast.Assign) and node.targets[0].id == "__all__":
                yield from ((module, name) for name in ast.literal_eval(node.value))


def test_public_names():
    names = list(public())
    assert len(names) > 100
    whole = set(re.findall(r"automodule:: (\S+)", EVERYONE))
    missing = [
        f"{module}.{name}"
        for module, name in names
        if module not in whole and not mentioned(name, EVERYONE)
    ]
    assert missing == []


def commands():
    for module, path in modules():
        if path.match("management/commands/[!_]*.py"):
            yield pytest.param(module, id=path.stem)


@pytest.mark.parametrize("module", list(commands()))
def test_commands(module):
    set_up()
    name = module.rpartition(".")[2]
    parser = importlib.import_module(module).Command().create_parser("manage.py", name)
    common = BaseCommand().create_parser("manage.py", name)
    known = {text for action in common._actions for text in action.option_strings}
    assert mentioned(name)
    for action in parser._actions:
        own = [text for text in action.option_strings if text.startswith("--")]
        assert not own or known & set(own) or any(map(mentioned, own)), own


def test_options_of_databases():
    code = (SOURCE / "backendkit" / "nonrel" / "base.py").read_text()
    options = set(re.findall(r'options\.pop\("(\w+)"', code))
    assert options >= {"transaction_mode", "native", "verify"}
    options |= {base.ALLOW_NO_TRANSACTIONS, *base.SCAN_OPTIONS}
    for wrapper in (Immudb, Lmdb, Memory):
        options |= wrapper.store_options
    settings = (pages.DOCS / "ref" / "settings.rst").read_text()
    # The options of LMDB come from the docstring of this class.
    assert "autoclass:: LMDBOptions" in settings
    documented = settings + (SOURCE / "backendkit/backends/lmdb/options.py").read_text()
    assert [name for name in sorted(options) if not mentioned(name, documented)] == []


def test_settings():
    """Django's settings and environment variables that the package reads."""
    found = set()
    for _, path in modules():
        found.update(
            re.findall(r'"((?:DBDEV|BACKENDKIT|DJANGO)_[A-Z_]+)"', path.read_text())
        )
    assert len(found) > 20
    assert [name for name in sorted(found - INTERNAL) if not mentioned(name)] == []


def test_programs():
    """Modules to run with ``python -m``."""
    runnable = [
        ".".join(path.relative_to(SOURCE).parent.parts)
        for path in SOURCE.rglob("__main__.py")
    ]
    assert len(runnable) > 2
    for module in runnable:
        assert f"python -m {module}" in USERS, module


def test_options_of_conformance():
    from backendkit.conformance import cli

    source = ast.parse((SOURCE / "backendkit/conformance/cli.py").read_text())
    options = {
        node.args[0].value if node.args[0].value.startswith("--") else None
        for node in ast.walk(source)
        if isinstance(node, ast.Call)
        and "add" in {getattr(node.func, "attr", "")[:3], getattr(node.func, "id", "")}
        and node.args
        and isinstance(node.args[0], ast.Constant)
    } - {None}
    assert cli.main
    assert len(options) > 5
    assert [option for option in sorted(options) if not mentioned(option)] == []
