"""The server of development and tests: found, built."""

import subprocess
import sys
from pathlib import Path

import pytest

from backendkit.backends.immudb import server as module
from backendkit.backends.immudb.server import ServerNotFound, find

MODULE = Path(__file__).parents[2] / "tools" / "immudb"


@pytest.fixture
def nothing(monkeypatch, tmp_path):
    """A machine without immudb and without Go."""
    monkeypatch.delenv("BACKENDKIT_IMMUDB", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(module, "USUAL_GO", str(tmp_path / "go"))
    (tmp_path / "bin").mkdir()
    return tmp_path


def program(path, text="exit 0"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


class TestFind:
    def test_the_named_one_comes_before_path_and_cache(self, nothing, monkeypatch):
        built = program(module.cached())
        assert find() == built
        on_path = program(nothing / "bin" / "immudb")
        assert find() == on_path
        named = program(nothing / "elsewhere" / "my-immudb")
        monkeypatch.setenv("BACKENDKIT_IMMUDB", named)
        assert find() == named

    def test_a_named_one_that_is_none_is_an_error(self, nothing, monkeypatch):
        program(nothing / "bin" / "immudb")
        monkeypatch.setenv("BACKENDKIT_IMMUDB", "/nowhere/immudb")
        with pytest.raises(ServerNotFound, match="/nowhere/immudb is no program"):
            find()

    def test_without_any_the_ways_out_are_told(self, nothing):
        with pytest.raises(ServerNotFound) as caught:
            find()
        for way in ("make immudb", "PATH", "BACKENDKIT_IMMUDB", module.VERSION):
            assert way in str(caught.value)

    def test_the_version_is_the_one_that_the_module_pins(self):
        pinned = f"github.com/codenotary/immudb v{module.VERSION}"
        assert pinned in (MODULE / "go.mod").read_text()


class TestBuild:
    def test_without_go_the_ways_out_are_told(self, nothing, capsys):
        assert module.main(["build", str(MODULE)]) == 1
        assert "Install Go" in capsys.readouterr().err

    def test_it_is_built_once_into_the_cache(self, nothing, capsys):
        go = nothing / "bin" / "go"
        # What follows -o gets the program.
        program(
            go,
            f"echo built >> {nothing}/builds\n"
            'while [ "$1" != -o ]; do shift; done\n'
            '/bin/echo "#!/bin/sh" > "$2"; /bin/chmod +x "$2"',
        )
        for _ in range(2):
            assert module.main(["build", str(MODULE)]) == 0
            assert capsys.readouterr().out == f"{module.cached()}\n"
        assert (nothing / "builds").read_text() == "built\n"
        assert module.main(["find"]) == 0

    def test_a_build_that_fails_leaves_nothing(self, nothing, capsys):
        program(nothing / "bin" / "go", "exit 3")
        assert module.main(["build", str(MODULE)]) == 1
        assert "go build failed" in capsys.readouterr().err
        assert not module.cached().exists()

    def test_it_needs_nothing_but_python(self, nothing):
        """`make immudb` works before the package is installed."""
        source = Path(module.__file__).parents[3]
        done = subprocess.run(
            [sys.executable, "-S", "-m", module.__name__, "find"],
            env={"PYTHONPATH": str(source), "BACKENDKIT_IMMUDB": "/bin/sh"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.stdout, done.stderr) == ("/bin/sh\n", "")
