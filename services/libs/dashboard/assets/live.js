// Keeps a page true while it is open: fetches it anew when something changed and swaps the parts that are marked
// with data-swap; shows times on this computer's clock; lets the picture be zoomed and searched; follows a log.
"use strict";

const GATHER = 150; // milliseconds that changes are gathered
const AGAIN = 10000; // milliseconds until a connection that was closed is tried again
const KEPT_LINES = 3000; // lines of a log that a page keeps

const zone = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

function since(seconds) {
  const past = seconds >= 0, length = Math.abs(seconds);
  const words = length < 60 ? `${Math.floor(length)} s` : length < 3600 ? `${Math.floor(length / 60)} min`
    : length < 172800 ? `${Math.floor(length / 3600)} h${length % 3600 >= 60 ? ` ${Math.floor(length % 3600 / 60)} min` : ""}`
    : `${Math.floor(length / 86400)} days`;
  if (length < 5) return past ? "just now" : "now";
  return past ? `${words} ago` : `in ${words}`;
}

function times() {
  for (const element of document.querySelectorAll("time[datetime]")) {
    const then = new Date(element.dateTime);
    const title = zone.format(then);
    const text = element.dataset.form === "date" ? then.toLocaleDateString(undefined, { dateStyle: "medium" }) : since((Date.now() - then) / 1000);
    if (element.textContent !== text) element.textContent = text;
    if (element.title !== title) element.title = title;
  }
}

// --- live ---

const topics = new Set((document.body.dataset.live || "").split(" ").filter(Boolean));
let waiting = null, fetching = false, again = false;

function say(text, off) {
  const pulse = document.getElementById("pulse");
  if (!pulse) return;
  if (pulse.textContent !== text) pulse.textContent = text;
  pulse.classList.toggle("off", off);
}

// By what an element is found again after it was exchanged.
function nameOf(element) {
  return element.id || element.getAttribute("href") || element.closest("details")?.dataset.key || "";
}

function swap(fresh) {
  for (const old of document.querySelectorAll("[data-swap]")) {
    const now = fresh.getElementById(old.id);
    if (!now) { location.reload(); return; }
    const kept = old.dataset.keep;
    if (kept && old.dataset.moved) now.setAttribute(kept, old.getAttribute(kept));
    if (old.innerHTML === now.innerHTML && old.getAttribute("class") === now.getAttribute("class")) continue;
    // Whoever reads or types within stays where they are.
    const focus = old.contains(document.activeElement) ? document.activeElement : null;
    const path = focus && focus !== old && nameOf(focus);
    const open = new Set([...old.querySelectorAll("details[open]")].map(details => details.dataset.key));
    const left = old.scrollLeft, top = old.scrollTop;
    old.replaceChildren(...document.adoptNode(now).childNodes);
    for (const name of ["viewBox", "class"]) if (now.hasAttribute(name)) old.setAttribute(name, now.getAttribute(name));
    for (const details of old.querySelectorAll("details")) details.open = open.has(details.dataset.key);
    old.scrollLeft = left; old.scrollTop = top;
    if (path) [...old.querySelectorAll("a, button, summary")].find(element => nameOf(element) === path)?.focus();
  }
  const shown = new Set([...document.querySelectorAll("[data-swap]")].map(element => element.id));
  // A part that appeared, such as what is wrong, comes with the page.
  if ([...fresh.querySelectorAll("[data-swap]")].some(element => !shown.has(element.id))) location.reload();
  times(); find();
}

async function refresh() {
  if (fetching) { again = true; return; }
  fetching = true;
  try {
    const answer = await fetch(location.href, { credentials: "same-origin", headers: { accept: "text/html", "x-headwater-refresh": "1" } });
    if (answer.redirected && new URL(answer.url).pathname === "/login") { location.href = answer.url; return; }
    if (answer.ok) swap(new DOMParser().parseFromString(await answer.text(), "text/html"));
  } catch { /* the connection is gone: the events say so */ }
  finally {
    fetching = false;
    if (again) { again = false; refresh(); }
  }
}

function changed() {
  waiting ??= setTimeout(() => { waiting = null; refresh(); }, GATHER);
}

function listen() {
  const events = new EventSource("/events");
  let lost = false;
  events.onopen = () => { say("live", false); if (lost) { lost = false; changed(); } };
  events.onerror = () => {
    lost = true; say("no connection", true);
    // What closed for good, after a restart for instance, asks anew; who is no longer signed in is led there.
    if (events.readyState === EventSource.CLOSED) { refresh(); setTimeout(listen, AGAIN); }
  };
  for (const topic of topics) events.addEventListener(topic, changed);
  addEventListener("pagehide", () => events.close());
}

// --- the picture ---

const tree = document.getElementById("tree");

function box() { return tree.getAttribute("viewBox").split(" ").map(Number); }
function setBox(values) { tree.setAttribute("viewBox", values.join(" ")); tree.dataset.moved = "yes"; }
function zoom(by, at) {
  const [x, y, width, height] = box();
  const [u, v] = at || [0.5, 0.5];
  setBox([x + width * u * (1 - by), y + height * v * (1 - by), width * by, height * by]);
}

function find() {
  const field = document.getElementById("find");
  if (!tree || !field) return;
  const text = field.value.trim().toUpperCase();
  let first = null;
  for (const node of tree.querySelectorAll(".node")) {
    const found = text !== "" && node.dataset.code.includes(text);
    node.classList.toggle("found", found);
    if (found && !first) first = node;
  }
  tree.classList.toggle("finding", first !== null);
  return first;
}

if (tree) {
  const whole = tree.getAttribute("viewBox");
  document.getElementById("zoom-in").onclick = () => zoom(0.7);
  document.getElementById("zoom-out").onclick = () => zoom(1 / 0.7);
  document.getElementById("zoom-fit").onclick = () => { tree.setAttribute("viewBox", whole); delete tree.dataset.moved; };
  const field = document.getElementById("find");
  field.oninput = find;
  field.onkeydown = event => { if (event.key === "Enter") find()?.focus(); };
  tree.addEventListener("wheel", event => {
    if (!event.ctrlKey) return;
    event.preventDefault();
    const area = tree.getBoundingClientRect();
    zoom(event.deltaY > 0 ? 1.15 : 1 / 1.15, [(event.clientX - area.left) / area.width, (event.clientY - area.top) / area.height]);
  }, { passive: false });
  let drag = null;
  tree.addEventListener("pointerdown", event => { drag = { x: event.clientX, y: event.clientY, box: box(), moved: false }; });
  addEventListener("pointermove", event => {
    if (!drag) return;
    const area = tree.getBoundingClientRect(), [x, y, width, height] = drag.box;
    const scale = Math.max(width / area.width, height / area.height);
    const dx = event.clientX - drag.x, dy = event.clientY - drag.y;
    if (Math.abs(dx) + Math.abs(dy) < 5 && !drag.moved) return;
    drag.moved = true;
    setBox([x - dx * scale, y - dy * scale, width, height]);
  });
  addEventListener("pointerup", () => { const moved = drag?.moved; drag = null; 
    if (!moved) return;
    // The end of a drag is no click; the next click is one.
    const still = event => event.preventDefault();
    tree.addEventListener("click", still, { once: true, capture: true });
    setTimeout(() => tree.removeEventListener("click", still, { capture: true }), 0);
  });
}

// --- the log ---

const log = document.getElementById("log");
if (log) {
  const follow = document.getElementById("follow");
  const severity = log.dataset.severity, wanted = log.dataset.text.toLowerCase();
  const down = () => { log.scrollTop = log.scrollHeight; };
  down();
  let source, fresh = true;
  const connect = () => {
    source = new EventSource(log.dataset.follow);
    // The last lines come once more with each connection: none is missing, and none is there twice.
    source.onopen = () => { fresh = true; };
    source.addEventListener("refused", event => { say(event.data, true); source.close(); });
    source.onerror = () => {
      say("no connection", true);
      if (source.readyState === EventSource.CLOSED) { refresh(); setTimeout(connect, AGAIN); }
    };
    source.addEventListener("lines", lines);
  };
  const lines = event => {
    say("live", false);
    if (fresh) { fresh = false; log.replaceChildren(); }
    for (const line of JSON.parse(event.data)) {
      if (severity === "error" && line.class !== "error") continue;
      if (severity === "warning" && line.class === "") continue;
      if (wanted && !line.text.toLowerCase().includes(wanted)) continue;
      const row = document.createElement("div"), at = document.createElement("span"), text = document.createElement("span");
      row.className = `line ${line.class}`; at.className = "at"; at.textContent = line.at; text.textContent = line.text;
      row.append(at, " ", text);
      log.append(row);
    }
    while (log.childElementCount > KEPT_LINES) log.firstElementChild.remove();
    if (follow.checked) down();
  };
  connect();
  addEventListener("pagehide", () => source.close());
}

times();
setInterval(times, 1000);
if (topics.size > 0) listen();
