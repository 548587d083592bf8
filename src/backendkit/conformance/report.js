"use strict";

// What a verdict means, the worst first; its kind is its colour.
const VERDICTS = new Map([
  ["failed", ["bad", "It failed, and isn’t listed."]],
  ["error", ["bad", "It ended in an error, and isn’t listed."]],
  ["lost", ["bad", "Its process died or hung, or it never ran."]],
  ["unexpected pass", ["bad", "It is listed as failing, but passed."]],
  ["xfailed", ["expected", "It is listed as an expected failure, and failed."]],
  ["raised", ["expected", "It is listed with the exception that it must raise, and raised it."]],
  ["fails there too", ["expected", "It fails on the baseline as well: not this backend’s doing."]],
  ["skipped", ["skip", "It didn’t run, for the reason given."]],
  ["passed", ["good", "It passed."]],
]);
const KINDS = ["good", "skip", "expected", "bad"];
const KIND_NAMES = { good: "passed", skip: "skipped", expected: "expected", bad: "deviations" };
const USUAL = [...VERDICTS.keys()].filter((name) => name !== "passed" && name !== "skipped");
const PAGE = 100; // rows

const data = JSON.parse(document.getElementById("data").textContent);
const there = data.baseline === null ? "" : data.baseline.display_name;
const COMPARING = {
  there: `Only tests that pass on ${there} and not on ${data.display_name}.`,
  here: `Only tests that pass on ${data.display_name} and not on ${there}.`,
};

// Texts of the report are text: nothing here reads them as HTML.

function make(tag, properties, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
}

function get(id) {
  return document.getElementById(id);
}

function number(n) {
  return n.toLocaleString("en");
}

function plural(n, one, many = `${one}s`) {
  return `${number(n)} ${n === 1 ? one : many}`;
}

function duration(seconds) {
  if (seconds < 1) return `${Math.round(seconds * 1000)}\u00a0ms`;
  if (seconds < 60) return `${seconds.toFixed(1)}\u00a0s`;
  const whole = Math.round(seconds);
  return whole < 3600
    ? `${Math.floor(whole / 60)}\u00a0min ${whole % 60}\u00a0s`
    : `${Math.floor(whole / 3600)}\u00a0h ${Math.floor((whole % 3600) / 60)}\u00a0min`;
}

function byKind(totals) {
  const sums = { good: 0, skip: 0, expected: 0, bad: 0 };
  for (const [verdict, n] of Object.entries(totals)) sums[VERDICTS.get(verdict)[0]] += n;
  return sums;
}

// The tests, as objects

const order = [...VERDICTS.keys()];
const tests = data.tests
  .map(([label, path, name, verdict, ms = 0, baseline = 0, compared = 0, reason = 0, link = 0, detail = 0, exceptions = []]) => {
    const test = {
      label,
      path: data.texts[path],
      name: data.texts[name],
      verdict: data.texts[verdict],
      seconds: ms / 1000,
      baseline: data.texts[baseline],
      compared: data.texts[compared],
      reason: data.texts[reason],
      link: data.texts[link],
      detail: data.texts[detail],
      exceptions: exceptions.map(([types, text]) => ({
        types: types.map((type) => data.texts[type]),
        text: data.texts[text],
      })),
    };
    test.rank = order.indexOf(test.verdict);
    const raised = test.exceptions.map(({ types, text }) => `${types.join(" ")} ${text}`);
    test.words = [test.path + test.name, test.reason, ...raised].join("\n").toLowerCase();
    return test;
  })
  .sort((a, b) => a.rank - b.rank);

// What is shown; the address keeps it.

const state = { query: "", label: "", compared: "", verdicts: new Set(USUAL) };
let matches = [];
let shown = 0;

function address(of) {
  const parts = new URLSearchParams();
  if (of.query) parts.set("q", of.query);
  if (of.label) parts.set("label", of.label);
  if (of.compared) parts.set("compared", of.compared);
  const verdicts = order.filter((name) => of.verdicts.has(name));
  if (verdicts.length === order.length) parts.set("verdicts", "all");
  else if (verdicts.join() !== USUAL.join()) parts.set("verdicts", verdicts.join());
  return `#${parts}`;
}

function readAddress() {
  const parts = new URLSearchParams(location.hash.slice(1));
  const verdicts = parts.get("verdicts");
  state.query = parts.get("q") ?? "";
  state.label = data.labels.some(({ label }) => label === parts.get("label")) ? parts.get("label") : "";
  state.compared = data.comparison !== null && Object.hasOwn(COMPARING, parts.get("compared")) ? parts.get("compared") : "";
  state.verdicts = new Set(
    verdicts === null ? USUAL : verdicts === "all" ? order : verdicts.split(",").filter((name) => VERDICTS.has(name)),
  );
  get("query").value = state.query;
}

let writing;
function writeAddress() {
  // Browsers limit how often a page may do this: not at each key.
  clearTimeout(writing);
  writing = setTimeout(() => {
    const wanted = address(state);
    if (wanted !== (location.hash || "#")) history.replaceState(null, "", wanted);
  }, 250);
}

function update() {
  const words = state.query.toLowerCase().split(/\s+/).filter((word) => word !== "");
  const label = data.labels.findIndex((one) => one.label === state.label);
  const found = new Map(order.map((name) => [name, 0]));
  matches = tests.filter((test) => {
    if (label >= 0 && test.label !== label) return false;
    if (state.compared && test.compared !== state.compared) return false;
    if (!words.every((word) => test.words.includes(word))) return false;
    found.set(test.verdict, found.get(test.verdict) + 1);
    return state.verdicts.has(test.verdict);
  });
  for (const chip of get("chips").children) {
    const name = chip.dataset.verdict;
    chip.setAttribute("aria-pressed", state.verdicts.has(name));
    chip.textContent = `${name} ${number(found.get(name))}`;
  }
  for (const { firstChild } of get("label-list").children) {
    firstChild.setAttribute("aria-pressed", firstChild.dataset.label === state.label);
  }
  const hidden = [...found.values()].reduce((sum, n) => sum + n, 0) - matches.length;
  showComparing();
  showChosen(label);
  get("rows").replaceChildren();
  shown = 0;
  showMore(hidden);
}

function showMore(hidden) {
  const next = matches.slice(shown, shown + PAGE);
  get("rows").append(...next.map(row));
  shown += next.length;
  const left = matches.length - shown;
  get("more").hidden = left === 0;
  get("more").textContent = `Show ${number(Math.min(left, PAGE))} more`;
  get("status").replaceChildren(
    matches.length === 0 ? "No test to show." : `Showing ${number(shown)} of ${plural(matches.length, "test")}.`,
  );
  if (matches.length === 0 && hidden > 0) {
    const all = make("button", { type: "button", className: "plain-button", textContent: "Show all verdicts" });
    all.addEventListener("click", () => change({ verdicts: new Set(order) }));
    get("status").append(` ${plural(hidden, "test")} with another verdict would fit. `, all);
  }
}

function change(values) {
  Object.assign(state, values);
  update();
  writeAddress();
}

// One test

function row(test) {
  const [kind] = VERDICTS.get(test.verdict);
  const head = make(
    "span",
    { className: "row-head" },
    make("span", { className: `word ${kind}`, textContent: test.verdict }),
    make("span", { className: "time", textContent: duration(test.seconds) }),
  );
  const id = make(
    "span",
    { className: "id test-id" },
    make("span", { className: "path" }, ...breakable(test.path)),
    ...breakable(test.name),
  );
  if (test.verdict === "passed") {
    const plain = make("div", { className: "plain" }, head, id);
    if (test.compared) {
      const text = `On ${there}: ${test.baseline || "not there"}`;
      plain.append(make("span", { className: "brief", textContent: text }));
    }
    return make("li", {}, plain);
  }
  const last = test.exceptions.at(-1);
  const brief = test.reason || (last ? `${shortName(last.types[0])}: ${last.text}` : lastLine(test.detail));
  const summary = make("summary", {}, head, id, make("span", { className: "brief", textContent: brief }));
  const details = make("details", {}, summary);
  details.addEventListener("toggle", () => details.append(body(test)), { once: true });
  return make("li", {}, details);
}

function body(test) {
  const node = make("div", { className: "body" }, make("p", { textContent: VERDICTS.get(test.verdict)[1] }));
  const facts = make("dl", { className: "facts" });
  const fact = (name, ...values) => facts.append(make("dt", { textContent: name }), make("dd", {}, ...values));
  if (test.reason) fact("Reason", make("span", { className: "text", textContent: test.reason }));
  if (test.link) fact("See", linkTo(test.link));
  if (test.baseline) fact(`On ${there}`, test.baseline);
  for (const { types, text } of test.exceptions) {
    const bases = types.slice(1).join(", ");
    fact(
      "Exception",
      make("div", { className: "exception", textContent: types[0] }),
      make("div", { className: "text", textContent: text }),
      make("div", { className: "bases", textContent: bases && `a kind of ${bases}` }),
    );
  }
  const alone = { query: test.path + test.name, label: "", compared: "", verdicts: new Set(order) };
  fact("Label", data.labels[test.label].label);
  fact("Address", make("a", { href: address(alone), textContent: "only this test" }));
  node.append(facts);
  if (test.detail && test.detail !== test.reason) node.append(block(test.detail));
  return node;
}

/** A text in lines, which the keyboard can scroll. */
function block(text) {
  return make("pre", { textContent: text.trim(), tabIndex: 0 });
}

/** A link, if it is one to a web page; else its text. */
function linkTo(link) {
  if (!/^https?:\/\//i.test(link)) return link;
  return make("a", { href: link, rel: "noopener noreferrer", textContent: link });
}

function shortName(type) {
  return type.slice(type.lastIndexOf(".") + 1);
}

function lastLine(text) {
  return text.trim().split("\n").at(-1);
}

/** A dotted name that may go on in the next line. */
function breakable(name) {
  return name.split(/(?<=[._])/).flatMap((part) => [part, make("wbr")]);
}

function nameAndVersion({ display_name: name, server }) {
  return server === null ? name : `${name} ${server}`;
}

// What is shown besides the tests

function showComparing() {
  if (!state.compared) return get("comparing").replaceChildren();
  const all = make("button", { type: "button", className: "plain-button", textContent: "Don’t compare" });
  all.addEventListener("click", () => change({ compared: "", verdicts: new Set(USUAL) }));
  const present = tests.filter(({ compared }) => compared === "there").length;
  const absent = state.compared === "there" ? data.comparison.there - present : 0;
  const note = absent ? ` ${number(absent)} more didn’t exist here.` : "";
  get("comparing").replaceChildren(COMPARING[state.compared] + note, all);
}

function showChosen(index) {
  if (index < 0) return get("chosen").replaceChildren();
  const label = data.labels[index];
  const all = make("button", { type: "button", className: "plain-button", textContent: "Show all labels" });
  all.addEventListener("click", () => change({ label: "" }));
  const how = label.statuses.map((status) => (status === null ? "stopped, as it took too long" : `exit status ${status}`));
  get("chosen").replaceChildren(
    make("div", { className: "chosen-head" }, make("span", { className: "id exception", textContent: label.label }), all),
    make("p", { textContent: [duration(label.seconds), ...how].join(", ") }),
  );
  if (label.comparison !== null) {
    const { both, there: only, here } = label.comparison;
    const text = `${number(both)} of ${plural(both + only, "test")} that pass on ${there} pass here; ${number(here)} pass only here.`;
    get("chosen").append(make("p", { textContent: text }));
  }
  if (label.output) {
    get("chosen").append(
      make("details", {}, make("summary", { textContent: "The end of its output" }), block(label.output)),
    );
  }
}

const SORTS = {
  name: () => 0,
  time: (a, b) => b.seconds - a.seconds,
  deviations: (a, b) => b.sums.bad - a.sums.bad || b.sums.expected - a.sums.expected,
};

const labels = data.labels
  .map((label) => ({ ...label, sums: byKind(label.totals) }))
  .sort((a, b) => (a.label < b.label ? -1 : 1));

function showLabels() {
  const sorted = [...labels].sort(SORTS[get("sort").value]);
  get("label-list").replaceChildren(...sorted.map((label) => make("li", {}, labelButton(label))));
}

function labelButton({ label, seconds, sums }) {
  const bar = make("span", { className: "bar", ariaHidden: "true" });
  const counts = make("span", { className: "counts" });
  for (const kind of KINDS) {
    const n = sums[kind];
    if (n === 0) continue;
    const part = make("span", { className: kind });
    part.style.flexGrow = n;
    bar.append(part);
    const name = kind === "bad" && n === 1 ? "deviation" : KIND_NAMES[kind];
    const text = make("span", { textContent: `${number(n)} ${name}` });
    if (kind === "bad") text.className = "bad";
    counts.append(counts.firstChild ? ", " : "", text);
  }
  if (!counts.firstChild) counts.textContent = "no tests";
  const button = make(
    "button",
    { type: "button" },
    make(
      "span",
      { className: "label-head" },
      make("span", { className: "id", textContent: label }),
      make("span", { className: "time", textContent: duration(seconds) }),
    ),
    bar,
    counts,
  );
  button.dataset.label = label;
  button.setAttribute("aria-pressed", label === state.label);
  button.addEventListener("click", () => {
    change({ label: state.label === label ? "" : label });
    // On a narrow screen the tests are below.
    get("chosen").scrollIntoView({ block: "nearest" });
  });
  return button;
}

function showHeader() {
  get("title").textContent = `${data.display_name} on Django ${data.django}`;
  document.title = `${data.display_name} on Django ${data.django}: conformance`;
  const started = `${data.started.slice(0, 10)} ${data.started.slice(11, 16)} ${data.started.slice(19)}`;
  get("about").textContent = [
    `${data.engine} (${nameAndVersion(data)})`,
    `Python ${data.python}`,
    `${started.replace("+0000", "UTC")}, ${duration(data.seconds)}`,
  ].join(" · ");
  const baseline =
    data.baseline === null
      ? "Not compared with another backend."
      : `Compared with ${data.baseline.engine} (${nameAndVersion(data.baseline)}).`;
  get("origin").textContent =
    `${plural(data.labels.length, "label")} in ${plural(data.parallel, "process at a time", "processes at a time")}, ` +
    `on ${data.platform}. ${baseline} Django’s source archive has SHA-256 ${data.archive_sha256}.`;
}

function showSummary() {
  const sums = byKind(data.totals);
  const wrong = [];
  if (sums.bad) wrong.push(plural(sums.bad, "test deviates", "tests deviate"));
  if (data.problems.length) wrong.push(`${plural(data.problems.length, "problem")} in the list of expectations`);
  if (data.comparison !== null && data.comparison.ratio < data.require) wrong.push("fewer tests pass than was asked for");
  get("verdict").classList.add(data.ok ? "good" : "bad");
  get("verdict").textContent = data.ok
    ? "As expected: no test deviates."
    : `Not as expected: ${wrong.join(", ")}.`;

  const names = { good: "passed", skip: "skipped", expected: "failed as expected", bad: "deviations" };
  for (const kind of KINDS) {
    const parts = order
      .filter((name) => VERDICTS.get(name)[0] === kind && (data.totals[name] ?? 0) > 0)
      .map((name) => `${number(data.totals[name])} ${name}`);
    const term = make("dt", {}, names[kind]);
    if (USUAL.some((name) => VERDICTS.get(name)[0] === kind) && parts.length) {
      term.append(make("small", { textContent: parts.join(", ") }));
    }
    get("totals").append(make("div", {}, term, make("dd", { textContent: number(sums[kind]) })));
  }
  for (const [name, [, meaning]] of VERDICTS) {
    get("words").lastElementChild.append(make("dt", { textContent: name }), make("dd", { textContent: meaning }));
  }
  if (data.comparison !== null) showComparison(data.comparison);

  get("problems").hidden = data.problems.length === 0;
  get("problems").lastElementChild.append(
    ...data.problems.map(({ kind, test, listed_as: listed, text }) =>
      make(
        "li",
        {},
        make("div", { className: "id", textContent: test }),
        make("p", { textContent: `${kind}, listed as ${listed}: ${text}` }),
      ),
    ),
  );
}

function showComparison({ both, there: only, here }) {
  // Rounded down: all is said only of all.
  const percent = (Math.floor((both * 10000) / (both + only)) / 100).toLocaleString("en", { minimumFractionDigits: 2 });
  get("comparison").append(
    both + only === 0
      ? `No test of this run passes on ${there}.`
      : `${number(both)} of ${plural(both + only, "test")} that pass on ${there} pass here: ${percent} %.`,
  );
  const rest = make("span", { className: "rest" });
  for (const [n, compared, text] of [
    [only, "there", `on ${there} and not here`],
    [here, "here", `here and not on ${there}`],
  ]) {
    const href = address({ query: "", label: "", compared, verdicts: new Set(order) });
    const words = `${number(n)} ${n === 1 ? "passes" : "pass"} ${text}`;
    rest.append(rest.firstChild ? "; " : "", n ? make("a", { href, textContent: words }) : words);
  }
  rest.append(".");
  get("comparison").append(rest);
  get("comparison").hidden = false;
}

function showChips() {
  for (const name of order) {
    if (!data.totals[name]) continue;
    const [kind, title] = VERDICTS.get(name);
    const chip = make("button", { type: "button", className: `chip ${kind}`, title });
    chip.dataset.verdict = name;
    chip.addEventListener("click", () => {
      const verdicts = new Set(state.verdicts);
      if (!verdicts.delete(name)) verdicts.add(name);
      change({ verdicts });
    });
    get("chips").append(chip);
  }
}

get("query").addEventListener("input", () => change({ query: get("query").value }));
get("sort").addEventListener("change", showLabels);
get("more").addEventListener("click", () => showMore(0));
addEventListener("hashchange", () => {
  readAddress();
  update();
  get("tests").scrollIntoView();
});

readAddress();
showHeader();
showSummary();
showChips();
showLabels();
update();
