"""The examples stay as short as their pages say."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("name", "most"), [("redis_store", 160), ("http_store", 100), ("csv_store", 60)]
)
def test_lines_of_code(name, most):
    """Those that are neither empty nor a comment, of the whole package."""
    lines = [
        line.strip()
        for path in (ROOT / "examples" / name).glob("*.py")
        for line in path.read_text("utf-8").splitlines()
    ]
    code = [line for line in lines if line and not line.startswith("#")]
    assert 0 < len(code) <= most
