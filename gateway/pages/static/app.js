"use strict";
// What pages do by themselves. Reading, and most forms, work without it.

// Live parts listen to `tick` of the body. A page without one asks only whether its server is there, and rarely. A
// hidden tab asks for nothing, and asks at once when it is shown again. The answers say how often to ask: more rarely
// if many pages are watched. A page that has lost its server asks often: many of them cost a server that is back little.
const lost = document.getElementById("lost"), notice = document.getElementById("notice");
const RARELY = 30000, SOON = 5000, PATIENCE = 15000;
let every = 5000, lastTick = Date.now(), ailing = document.querySelector("main > [data-passes]") !== null;
const hasLivePart = () => document.querySelector("[hx-trigger^=tick]") !== null;
function tick() {
  const wait = ailing || !lost.hidden ? SOON : hasLivePart() ? every : Math.max(every, RARELY);
  if (document.visibilityState !== "visible" || Date.now() - lastTick < wait) return;
  lastTick = Date.now();
  if (hasLivePart() && lost.hidden) document.body.dispatchEvent(new CustomEvent("tick"));
  else ask();
}
setInterval(tick, 1000);
document.addEventListener("visibilitychange", tick);

// Whether the server is there and the visitor signed in. If not, the page says so, or leads to where one signs in.
async function ask() {
  let answer, text;
  try {
    const headers = { "HX-Request": "true", "HX-Current-URL": location.href };
    answer = await fetch(lost.dataset.ask, { headers, cache: "no-store", signal: AbortSignal.timeout(PATIENCE) });
    text = await answer.text();
  } catch {
    lost.hidden = false;
    return false;
  }
  const problem = new DOMParser().parseFromString(text, "text/html").getElementById("problem");
  if (answer.status >= 500) {
    lost.hidden = problem !== null;
    ailing = problem !== null;
    if (problem) notice.replaceChildren(problem);
    return false;
  }
  found(answer.headers.get("Live-Every"));
  if (ailing) notice.replaceChildren();
  ailing = false;
  if (document.querySelector("main > [data-passes]")) { location.reload(); return false; }
  const target = answer.headers.get("HX-Redirect");
  if (!target) return true;
  keepEntries();
  location.assign(target);
  return false;
}

function found(seconds) {
  if (seconds) every = 1000 * Number(seconds);
  if (lost.hidden) return;
  lost.hidden = true;
  document.body.dispatchEvent(new CustomEvent("found"));
  document.body.dispatchEvent(new CustomEvent("tick"));
}

// A proxy answers for a server that it has lost, and does so without the header that all our pages have.
const isOfProxy = xhr => xhr.status >= 502 && xhr.status <= 504 && !xhr.getResponseHeader("Modelgate-Page");
document.body.addEventListener("htmx:configRequest", event => {
  if (event.detail.verb === "get") event.detail.timeout = PATIENCE;
  else if (event.detail.elt.closest("[hx-encoding]")) event.detail.timeout = 0; // a large file takes as long as it takes
});
for (const kind of ["sendError", "timeout"]) document.body.addEventListener(`htmx:${kind}`, () => { lost.hidden = false; });
document.body.addEventListener("htmx:afterRequest", event => {
  const xhr = event.detail.xhr;
  if (!xhr || xhr.status === 0) return;
  if (isOfProxy(xhr)) { lost.hidden = false; return; }
  found(xhr.getResponseHeader("Live-Every"));
  if (event.detail.successful) notice.replaceChildren();
});

// A live part stays as it is while somebody writes, selects text, or has opened details in it. A log that somebody has
// scrolled stays where it is; others show their newest lines.
let scrolled = null;
document.body.addEventListener("htmx:beforeSwap", event => {
  if (isOfProxy(event.detail.xhr)) event.detail.shouldSwap = false;
  const part = event.detail.elt;
  const live = (part.getAttribute("hx-trigger") || "").startsWith("tick");
  const chosen = getSelection(), selects = !chosen.isCollapsed && part.contains(chosen.anchorNode);
  if (live && (selects || part.querySelector("details[open], input:focus, select:focus, textarea:focus")))
    event.detail.shouldSwap = false;
  const log = part.querySelector(".log");
  scrolled = log && log.scrollTop + log.clientHeight < log.scrollHeight - 4 ? log.scrollTop : null;
});

// A form is sent once the server has answered, or a server that is lost would take the page and what was entered in it.
// One that takes a while says so, and is not sent twice.
let sent = null;
document.addEventListener("submit", async event => {
  const form = event.target, button = event.submitter;
  if (event.defaultPrevented || form.hasAttribute("hx-post")) return;
  if (form === sent) {
    sent = null;
    if (button) setTimeout(() => { button.disabled = true; button.setAttribute("aria-busy", "true"); });
    return;
  }
  event.preventDefault();
  if (!await ask()) return;
  sent = form;
  form.requestSubmit(button);
});
addEventListener("pageshow", event => {
  if (event.persisted) for (const button of document.querySelectorAll("button[aria-busy]")) {
    button.disabled = false;
    button.removeAttribute("aria-busy");
  }
});

// What was wrong with a value is said until the value is changed.
document.addEventListener("input", event => {
  const field = event.target;
  if (!field.hasAttribute("aria-invalid")) return;
  document.getElementById(field.getAttribute("aria-describedby"))?.remove();
  field.removeAttribute("aria-invalid");
  field.removeAttribute("aria-describedby");
});

// Copy buttons appear beside each code block.
function addCopyButtons(root) {
  for (const block of root.querySelectorAll("pre[data-copy]")) {
    if (block.parentElement.querySelector(".copy")) continue;
    const button = document.createElement("button");
    button.type = "button";
    button.className = "copy quiet";
    button.textContent = "Copy";
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(block.textContent);
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = "Copy"; }, 1500);
    });
    block.after(button);
  }
}

// A file can be dropped on its field.
function addDropZones(root) {
  for (const zone of root.querySelectorAll("[data-drop]")) {
    const field = zone.querySelector("input[type=file]");
    const say = () => {
      const name = zone.querySelector(".name");
      if (name && field.files.length) name.textContent = field.files[0].name;
      zone.classList.toggle("filled", field.files.length > 0);
    };
    field.addEventListener("change", say);
    for (const kind of ["dragenter", "dragover"]) zone.addEventListener(kind, event => {
      event.preventDefault();
      zone.classList.add("over");
    });
    for (const kind of ["dragleave", "drop"]) zone.addEventListener(kind, () => zone.classList.remove("over"));
    zone.addEventListener("drop", event => {
      event.preventDefault();
      field.files = event.dataTransfer.files;
      field.dispatchEvent(new Event("change", { bubbles: true }));
    });
  }
}

// A framed report is as high as what it holds, so that only the page scrolls.
function fitReport(frame) {
  const fit = () => {
    const root = frame.contentDocument && frame.contentDocument.documentElement;
    if (!root || !root.querySelector("main")) return;
    new ResizeObserver(() => { frame.style.height = `${Math.ceil(root.getBoundingClientRect().height)}px`; }).observe(root);
  };
  frame.addEventListener("load", fit);
  if (frame.contentDocument && frame.contentDocument.readyState === "complete") fit();
}
for (const frame of document.querySelectorAll("iframe.report")) fitReport(frame);

function prepare(root) {
  for (const log of root.querySelectorAll(".log")) log.scrollTop = scrolled ?? log.scrollHeight;
  addCopyButtons(root);
  addDropZones(root);
}
prepare(document);
document.body.addEventListener("htmx:afterSettle", event => {
  prepare(event.detail.elt.isConnected ? event.detail.elt : document);
  const answer = document.querySelector("[data-reveal]"); // on a phone, it is below the form
  if (answer) answer.scrollIntoView({ block: "nearest" });
});

// What somebody has entered outlives a sign-in on the way, for the same key and in this tab.
const who = document.querySelector(".who span")?.textContent;
const entries = () => [...document.querySelectorAll("main :is(input:not([type=hidden], [type=file], [type=password]), select, textarea)")];
const property = field => ["checkbox", "radio"].includes(field.type) ? "checked" : "value";
function keepEntries() {
  const values = entries().map(field => [field.name, field[property(field)]]);
  sessionStorage.setItem(location.pathname, JSON.stringify({ who, values }));
}
const kept = JSON.parse(sessionStorage.getItem(location.pathname));
sessionStorage.removeItem(location.pathname);
const isSameForm = fields => fields.length === kept.values.length && fields.every((field, at) => field.name === kept.values[at][0]);
if (kept && kept.who === who && isSameForm(entries()))
  entries().forEach((field, at) => { field[property(field)] = kept.values[at][1]; });
