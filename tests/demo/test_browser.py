"""The demo in a real Chromium: what a person does with it."""

import re

import pytest

from .running import ENGINE, PASSWORD

pytest.importorskip("selenium", reason="selenium isn't installed")

from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select, WebDriverWait

pytestmark = pytest.mark.browser

#: Seconds in which a page has to be there, also on a machine with much else to do.
PATIENCE = 120


class Browser:
    """Chromium, in the words of these tests."""

    def __init__(self, driver, address):
        self.driver = driver
        self.address = address

    def go(self, path):
        self.driver.get(self.address + path)

    def find(self, selector):
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector):
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def fill(self, name, text):
        field = self.find(f"[name={name}]")
        field.clear()
        field.send_keys(text)

    def choose(self, name, text):
        Select(self.find(f"[name={name}]")).select_by_visible_text(text)

    def click(self, element):
        """Click what leads to another page, and wait for that."""
        if isinstance(element, str):
            element = self.find(element)
        page = self.find("html")
        self.driver.execute_script("arguments[0].scrollIntoView()", element)
        element.click()
        WebDriverWait(self.driver, PATIENCE).until(
            lambda driver: (
                driver.find_element(By.TAG_NAME, "html") != page
                and driver.execute_script("return document.readyState") == "complete"
            )
        )

    def follow(self, text):
        self.click(self.driver.find_element(By.LINK_TEXT, text))

    def save(self):
        self.click("[name=_save]")

    @property
    def heading(self):
        return self.find("h1").text

    @property
    def text(self):
        return self.find("body").text

    def log_in(self):
        self.go("/admin/")
        self.fill("username", "admin")
        self.fill("password", PASSWORD)
        self.click("[type=submit]")


# Django's pages are the same on each: one is enough to see that the demo works.
@pytest.fixture(
    scope="module",
    params=[
        ENGINE,
        *(
            pytest.param(other, marks=pytest.mark.check)
            for other in {"immudb"} - {ENGINE}
        ),
    ],
)
def engine(request):
    return request.param


@pytest.fixture
def browser(driver, address):
    """A browser that is logged in nowhere."""
    return Browser(driver, address)


def test_search_filter_and_pages(browser):
    """
    A visitor searches, clears, filters, and turns pages.
    """
    browser.go("/")
    assert browser.heading == "Distributions"

    browser.fill("q", "letter")
    browser.click("form button")
    assert [row.text for row in browser.all("tbody th a")] == ["Alpha", "beta"]

    browser.follow("Clear")
    browser.choose("role", "needed by others")
    browser.choose("order", "size")
    browser.click("form button")
    assert "4 distributions found" in browser.text

    browser.follow("Clear")
    browser.follow("Next")
    assert "page=2" in browser.driver.current_url
    assert len(browser.all("tbody tr")) == 25


@pytest.mark.check
def test_tree_and_detail(browser):
    """
    A visitor folds the tree, and goes from it to a distribution.
    """
    browser.go("/")
    browser.follow("Tree")
    assert browser.heading == "Dependency tree"

    inner = browser.find(".tree li li")
    assert inner.is_displayed()
    browser.find(".tree summary code").click()
    assert not inner.is_displayed()
    browser.find(".tree summary code").click()
    browser.follow("beta")

    assert browser.heading == "beta 2.0 open"
    assert "Alpha 1.0 >=1.0" in browser.text


@pytest.mark.check
def test_report(browser):
    """
    A visitor compares two scans, in both directions.
    """
    browser.go("/report/")
    assert "Size by licence" in browser.text
    assert "epsilon 1.0" in browser.find(".changes").text

    older, newer = (
        Select(browser.find(f"[name={name}]")) for name in ("older", "newer")
    )
    values = [option.get_attribute("value") for option in older.options]
    first, *_, last = sorted(filter(None, values), key=int)
    older.select_by_value(last)
    newer.select_by_value(first)
    browser.click("form button")

    assert "removed epsilon 1.0" in browser.find(".changes").text


@pytest.mark.check
def test_works_on_a_small_screen(browser):
    """
    On a telephone, no page is wider than the screen.
    """
    browser.driver.set_window_size(500, 900)
    try:
        for path in ("/", "/tree/", "/report/", "/distributions/beta/1.5/"):
            browser.go(path)
            assert browser.driver.execute_script(
                "return document.documentElement.scrollWidth <= innerWidth"
            ), path
    finally:
        browser.driver.set_window_size(1280, 1000)


def test_wrong_password(browser):
    """
    The admin refuses a wrong password.
    """
    browser.go("/admin/")
    browser.fill("username", "admin")
    browser.fill("password", "wrong")
    browser.click("[type=submit]")

    assert "Please enter the correct username and password" in browser.text


def test_admin_searches_edits_validates_and_deletes(browser):
    """
    The admin finds a distribution, refuses what breaks a rule, saves what
    doesn't, and deletes.
    """
    browser.log_in()
    assert "Site administration" in browser.text

    # Search.
    browser.follow("Distributions")
    browser.fill("q", "plain-1")
    browser.click("#changelist-search [type=submit]")
    assert len(browser.all("#result_list tbody tr")) == 10

    # A rule that the database checks: a finished review has its date.
    browser.follow("plain-17")
    browser.choose("review", "approved")
    browser.fill("summary", "Edited — with ünïcode")
    browser.save()
    assert "A finished review needs its date." in browser.text

    # One that the form checks.
    browser.fill("reviewed_on", "2024-02-29")
    browser.fill("risk", "11.5")
    browser.save()
    assert "Risk goes from 0 to 10." in browser.text

    browser.fill("risk", "2.5")
    browser.save()
    assert "was changed successfully" in browser.text
    browser.go("/distributions/plain-17/1.0/")
    assert browser.heading == "plain-17 1.0 approved"
    assert "Edited — with ünïcode" in browser.text
    assert "2.5" in browser.text

    # Filters count it.
    browser.go("/admin/tracking/distribution/?review__exact=approved")
    assert [row.text for row in browser.all("#result_list tbody th")] == ["plain-17"]

    # Delete, with what hangs on it.
    browser.follow("plain-17")
    browser.follow("Delete")
    assert "Are you sure" in browser.text
    browser.click("#content form [type=submit]")
    assert "was deleted successfully" in browser.text
    browser.go("/?q=plain-17")
    assert "Nothing fits." in browser.text


@pytest.mark.check
def test_admin_keeps_names_unique(browser):
    """
    A second licence of the same name is refused; another one is added.
    """
    browser.log_in()
    browser.go("/admin/tracking/licence/add/")
    browser.fill("name", "MIT")
    browser.save()
    assert "Licence with this Name already exists." in browser.text

    browser.fill("name", "EUPL-1.2")
    browser.choose("parent", "Weak copyleft")
    browser.save()
    assert "was added successfully" in browser.text
    browser.go("/admin/tracking/licence/?q=EUPL")
    assert browser.find("#result_list .field-parent").text == "Weak copyleft"


@pytest.mark.check
def test_admin_protects_what_is_in_use(browser):
    """
    A licence that distributions have can't be deleted.
    """
    browser.log_in()
    browser.go("/admin/tracking/licence/?q=GPL-3.0-or-later")
    browser.follow("GPL-3.0-or-later")
    browser.follow("Delete")

    assert "Cannot delete licence" in browser.text or "would require deleting" in (
        browser.text
    )


@pytest.mark.check
def test_admin_edits_inlines(browser):
    """
    A dependency is added beside its distribution, picked by typing.
    """
    browser.log_in()
    browser.go("/admin/tracking/distribution/?q=epsilon")
    browser.follow("epsilon")
    browser.driver.find_element(By.LINK_TEXT, "Add another Dependency").click()
    wait = WebDriverWait(browser.driver, PATIENCE)
    box = browser.find("#requirements-0 .select2-selection")
    browser.driver.execute_script("arguments[0].scrollIntoView()", box)
    box.click()
    browser.find(".select2-search__field").send_keys("omega")
    wait.until(
        lambda driver: [
            option
            for option in driver.find_elements(
                By.CSS_SELECTOR, ".select2-results__option--highlighted"
            )
            if option.text == "omega 9"
        ]
    )[0].click()
    browser.fill("requirements-0-specifier", ">=9")
    browser.save()
    assert "was changed successfully" in browser.text

    browser.go("/distributions/omega/9/")
    assert "epsilon 1.0 >=9" in browser.text


@pytest.mark.check
def test_admin_shows_what_happened(browser, engine):
    """
    The history of an object is the ledger's where there is one: what has changed, and a
    proof on demand.
    """
    browser.log_in()
    browser.go("/admin/tracking/licence/add/")
    browser.fill("name", "BlueOak-1.0.0")
    browser.save()
    browser.follow("BlueOak-1.0.0")
    browser.choose("parent", "Permissive")
    browser.save()
    browser.follow("BlueOak-1.0.0")
    browser.click(".historylink")
    assert "Change history: BlueOak-1.0.0" in browser.text
    if engine != "immudb":
        assert browser.find("#change-history tbody").text.count("admin") == 2
        return

    changed, added = browser.all("#ledger-history tbody tr")
    assert "category" in changed.text
    assert re.search(r"→ Permissive \(\d+\)", changed.text)
    assert "Added" in added.text
    assert "BlueOak-1.0.0" in added.text
    for row in (changed, added):
        assert row.find_elements(By.TAG_NAME, "td")[2].text == "admin"
    assert not browser.all(".ledger-proven")
    browser.follow("Verify")
    assert browser.find(".ledger-proven").text == "✓ Verified"
    assert (
        browser.find(".ledger-proven")
        .value_of_css_property("background-color")
        .startswith("rgba(27, 122, 61")
    )
