"""The demo's pages, over HTTP."""

import pytest

from .running import Page


def test_list_is_paginated_and_ordered(get):
    """
    25 distributions a page, by name; the last page has the rest.
    """
    first, last = get("/"), get("/", page="3")

    # 65 of the first scan, beta 2.0 and epsilon of the second.
    assert "67 distributions" in first.text
    assert first.names()[:4] == ["Alpha", "beta", "beta", "delta"]
    assert len(first.names()) == 25
    assert len(last.names()) == 17
    assert last.names()[-1] == "plain-59"


def test_search_finds_words_in_name_and_summary(get):
    """
    All words must be found, in the name or in the summary, in any case.
    """
    assert get("/", q="LETTER first").names() == ["Alpha"]
    assert get("/", q="日本").names() == ["beta"]
    assert get("/", q="letter").names() == ["Alpha", "beta"]
    # % and _ are no wildcards.
    assert get("/", q="plain%").names() == []


def test_nothing_found_says_so(get):
    """
    A search without a result offers a way back.
    """
    assert "Nothing fits." in get("/", q="nosuchthing").text


@pytest.mark.parametrize(
    ("parameters", "names"),
    [
        ({"role": "needed"}, ["beta", "delta", "gamma-ray", "omega"]),
        ({"role": "needed", "q": "l"}, ["delta"]),
        ({"role": "top", "q": "beta"}, ["beta"]),
        ({"review": "approved"}, []),
        ({"licence": "GPL-3.0-or-later"}, ["gamma-ray"]),
        ({"licence": "Copyleft"}, ["gamma-ray"]),
        ({"scan": "2", "q": "beta"}, ["beta"]),
        ({"scan": "2", "q": "plain-00"}, []),
    ],
)
def test_filters(get, scanned, parameters, names):
    """
    Filters narrow the list down, together with the search.
    """
    if "licence" in parameters:
        key = scanned.shell(
            f"print(Licence.objects.get(name={parameters['licence']!r}).pk)"
        )
        parameters = parameters | {"licence": key}

    assert sorted(get("/", **parameters).names()) == sorted(names)


def test_a_filter_that_makes_no_sense_is_said_so(get):
    """
    An invalid choice shows a message, not an error page.
    """
    page = get("/", review="nonsense", scan="x")

    assert page.status == 200
    assert "nonsense is not one of the available choices" in page.text


@pytest.mark.parametrize("order", ["size", "files"])
def test_orders(get, order):
    """
    By size and by number of files, the largest comes first.
    """
    assert get("/", order=order).names()[0] == "beta"


def test_order_by_dependents(get):
    """
    By how many need it: gamma-ray is needed by alpha, both betas and omega.
    """
    page = get("/", order="dependents")

    assert page.names()[0] == "gamma-ray"
    assert page.rows[1][3] == "4"


def test_detail(get):
    """
    A distribution's page shows its facts, files, and both directions.
    """
    page = get("/distributions/beta/1.5/")

    assert (
        "Second &lt;b&gt;letter&lt;/b&gt; &amp; &quot;quotes&quot; 日本語" in page.html
    )
    assert "Apache-2.0 (Permissive)" in page.text
    assert "Needed by" in page.text
    assert "Other versions 2.0" in page.text
    assert "9.8 KB" in next(row for row in page.rows if "beta/data.json" in row[0])[1]


def test_detail_of_none(get):
    """
    A version that isn't there is a 404.
    """
    assert get("/distributions/beta/7/").status == 404


def test_tree_stops_at_rings(get):
    """
    A ring is marked where it closes, and extras are left out unless wanted.
    """
    page, extras = get("/tree/"), get("/tree/", extras="1")

    assert "Alpha 1.0" in page.text
    assert "ring" in page.text
    assert "delta" not in page.text
    assert "delta 0.1" in extras.text


def test_report_adds_up(get):
    """
    Sums over the last scan, by licence; who is needed most; kinds of files.
    """
    page = get("/report/")

    by_name = {row[0]: row[1:] for row in page.rows if row}
    assert by_name["Permissive"][0] == "62"
    assert by_name["MIT"][0] == "61"
    assert by_name["Apache-2.0"][0] == "1"
    assert by_name["GPL-3.0-or-later"][0] == "1"
    assert by_name["Unknown"][0] == "2"
    # beta 1.5 needs it too, but isn't in this scan.
    assert ["gamma-ray 2.1", "3"] in page.rows
    assert by_name["packaging"][0] == "130"


def test_report_shows_changes(get):
    """
    What came, what went, and what changed its version between two scans.
    """
    page = get("/report/")

    assert "changed beta 1.5 → 2.0" in page.text
    assert "added epsilon 1.0" in page.text
    assert "removed plain-00 1.0" in page.text


def test_report_compares_the_scans_asked_for(get):
    """
    The other way round, what was added is removed; a scan that isn't, is a 404.
    """
    page = get("/report/", older="2", newer="1")

    assert "changed beta 2.0 → 1.5" in page.text
    assert "removed epsilon 1.0" in page.text
    assert get("/report/", older="1", newer="77").status == 404


@pytest.mark.check
def test_pages_before_the_first_scan(demo):
    """
    Every page of an empty database says what to do.
    """
    with demo.served() as address:
        for path in ("/", "/tree/", "/report/"):
            page = Page(address + path)
            assert page.status == 200
            assert "manage.py track" in page.text


def test_a_scan_while_serving(demo, site):
    """
    The server sees what another process committed after it had started.
    """
    with demo.served() as address:
        assert Page(address + "/").names() == []
        demo.run("track", "--path", site.path)
        assert "65 distributions" in Page(address + "/").text
