"""What all tests share. Django is set up by those packages that need it."""

import gc
import os
import shutil
import signal

import pytest
from hypothesis import Phase, settings

from tests.effort import LEVELS, examples, fixed, level, seed

# A busy machine is slow now and then: time is no property of an example.
settings.register_profile(
    "backendkit",
    deadline=None,
    print_blob=True,
    derandomize=fixed(),
    # What failed is replayed only where examples differ from run to run.
    **({"database": None} if fixed() else {}),
    max_examples=examples(test=20, check=60, soak=2000),
    # To explain what fails, hypothesis traces what passes: a sixth of all its time.
    phases=[phase for phase in Phase if phase is not Phase.explain],
)
settings.load_profile("backendkit")


if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell has what it starts in the background ignore Ctrl-C. The servers of these
    # tests would inherit that, and are stopped by it.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config):
    """Let all that draws at random begin with the one seed of the run."""
    for option, unset in {"randomly_seed": "default", "hypothesis_seed": None}.items():
        if getattr(config.option, option, seed) == unset:
            setattr(config.option, option, seed())


def pytest_report_header():
    drawn = "the same examples in each run" if fixed() else f"SEED={seed()} draws them"
    return f"backendkit: make {level()}, {drawn}"


def pytest_collection_modifyitems(config, items):
    """
    Leave out what is too long for this run, and begin with the longest tests.

    So no process has them left at the end.
    """
    later = LEVELS[LEVELS.index(level()) + 1 :]
    left_out = [item for item in items if any(map(item.get_closest_marker, later))]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        gone = set(left_out)
        items[:] = [item for item in items if item not in gone]
    items.sort(key=lambda item: "tests/differential/" not in item.nodeid)


def pytest_collection_finish():
    """Leave what was collected alone: it stays until the end, and no collection frees it."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def chromium(tmp_path_factory):
    """A Chromium, driven by selenium; tests take ``driver``."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="no selenium")
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    chromedriver = shutil.which("chromedriver")
    if not (browser and chromedriver):
        assert not os.environ.get("CI"), "Chromium or chromedriver isn't installed"
        pytest.skip("needs Chromium and chromedriver; in CI they must be there")
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for argument in (
        "--headless",
        # Chromium's sandbox doesn't work for root.
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        # It has nothing to ask of the network.
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--window-size=1280,1000",
        f"--user-data-dir={tmp_path_factory.mktemp('chromium')}",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(chromedriver))
    yield driver
    driver.quit()


@pytest.fixture
def driver(chromium):
    """A browser without cookies; its console must stay without errors."""
    chromium.delete_all_cookies()
    chromium.get_log("browser")
    yield chromium
    complaints = [
        entry["message"]
        for entry in chromium.get_log("browser")
        if entry["level"] == "SEVERE"
    ]
    assert complaints == []
