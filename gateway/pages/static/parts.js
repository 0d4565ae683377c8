"use strict";
// How an open page asks its server: for newer parts of itself, with forms, and whether the server is there at all.
//   data-live="URL"   The answer has a newer element of the same id, which replaces this one. Asked again and again.
//   data-part="ID"    The answer to this form or field has a newer element #ID. With "", it has none.
//   data-post="URL"   A change in this element sends its form.
//   data-get="URL"    Typing in this field sends its value. A change in this form sends its fields, which are then in
//                     the address of the page.
//   data-typed="URL"  Typing in this element sends the form of its field.
//   data-then="URL"   This element sends the form data-form once it is there. Until the answer, it shows what it showed.
//   data-keep         This element stays as it is when the part around it is replaced.
// Events: `part:send`, then `part:problem` or `part:place` (a listener may prevent it) at the sender, then `part:placed`
// at the document.

const lost = document.getElementById("lost"), notice = document.getElementById("notice");
const PART = { "Modelgate-Part": "1" };
const PATIENCE = 15000, LONGER = 60000, TYPING = 300; // ms

// A page without a live part asks only whether its server is there, and rarely. A hidden tab asks for nothing, and asks
// at once when it is shown again. The answers say how often to ask: more rarely if many pages are watched. A page that
// has lost its server asks often: many of them cost a server that is back little.
const RARELY = 30000, SOON = 5000;
let every = 5000, lastTick = Date.now(), unhealthy = document.querySelector("main > [data-passes]") !== null;
const liveParts = () => [...document.querySelectorAll("[data-live]")];
function tick() {
  const wait = unhealthy || !lost.hidden ? SOON : liveParts().length ? every : Math.max(every, RARELY);
  if (document.visibilityState !== "visible" || Date.now() - lastTick < wait) return;
  lastTick = Date.now();
  if (liveParts().length && lost.hidden) refresh();
  else ask();
}
setInterval(tick, 1000);
document.addEventListener("visibilitychange", tick);
function refresh() {
  for (const part of liveParts()) if (!underWay.has(part.id)) send(part, part.dataset.live, part.id);
}

// Whether the server is there and the visitor signed in. If not, the page says so, or leads to where one signs in.
async function ask() {
  let answer, text;
  try {
    answer = await fetch(lost.dataset.ask, { headers: PART, cache: "no-store", signal: AbortSignal.timeout(PATIENCE) });
    text = await answer.text();
  } catch {
    lost.hidden = false;
    return false;
  }
  const problem = parsed(text).getElementById("problem");
  if (answer.status >= 500) {
    lost.hidden = problem !== null;
    unhealthy = problem !== null;
    if (problem) notice.replaceChildren(problem);
    return false;
  }
  found(answer);
  if (unhealthy) notice.replaceChildren();
  unhealthy = false;
  if (document.querySelector("main > [data-passes]")) { location.reload(); return false; }
  return !isLed(answer);
}

const parsed = text => new DOMParser().parseFromString(text, "text/html");

function found(answer) {
  const seconds = answer.headers.get("Live-Every");
  if (seconds) every = 1000 * Number(seconds);
  if (lost.hidden) return;
  lost.hidden = true;
  document.body.dispatchEvent(new CustomEvent("found"));
  refresh();
}

function isLed(answer) {
  const target = answer.headers.get("Modelgate-Redirect");
  if (!target) return false;
  if (target.startsWith("/ui/login")) keepEntries();
  location.assign(target);
  return true;
}

// Requests that are under way, by the part that they replace. A newer one for the same part aborts the earlier one. A
// field that changes while it sends its form sends it again afterwards: a large file is not sent twice at once.
const underWay = new Map();
async function send(sender, address, id, form = null) {
  const earlier = underWay.get(id);
  if (form && earlier?.sender === sender) { earlier.again = sender !== form; return; }
  earlier?.controller.abort();
  const request = { sender, form, controller: new AbortController(), again: false };
  const isUpload = form?.enctype === "multipart/form-data";
  const patience = isUpload ? 0 : form ? LONGER : PATIENCE; // a large file takes as long as it takes
  sender.dispatchEvent(new CustomEvent("part:send", { bubbles: true, detail: { patience } }));
  const body = form && (isUpload ? new FormData(form) : new URLSearchParams(new FormData(form)));
  const buttons = sender === form ? [...form.querySelectorAll("button.primary:enabled")] : [];
  const late = patience && setTimeout(() => request.controller.abort(), patience);
  underWay.set(id, request);
  showSending(form, buttons, true);
  let answer = null, text;
  try {
    const signal = request.controller.signal;
    answer = await fetch(address, { method: form ? "POST" : "GET", headers: PART, body, cache: "no-store", signal });
    text = await answer.text();
  } catch {
    answer = null;
  }
  clearTimeout(late);
  const isNewest = underWay.get(id) === request;
  if (isNewest) underWay.delete(id);
  showSending(form, buttons, false);
  if (!isNewest) return;
  if (!answer || isOfProxy(answer)) { lost.hidden = false; return; }
  found(answer);
  if (answer.ok) notice.replaceChildren();
  if (isLed(answer) || !sender.isConnected) return;
  if (request.again) { send(sender, address, id, form); return; }
  place(parsed(text), id, answer.ok, sender);
}

function showSending(form, buttons, isSending) {
  for (const button of buttons) button.disabled = isSending;
  form?.classList.toggle("sending", [...underWay.values()].some(request => request.form === form));
}

// A proxy answers for a server that it has lost, and does so without the header that all our pages have.
const isOfProxy = answer => answer.status >= 502 && answer.status <= 504 && !answer.headers.get("Modelgate-Page");

// Puts the part of a page in place of the one that is shown. An error leaves it as it is, and appears above it.
function place(page, id, ok, sender) {
  const problem = ok ? null : page.getElementById("problem");
  if (problem) {
    notice.replaceChildren(problem);
    sender.dispatchEvent(new CustomEvent("part:problem", { bubbles: true, detail: { problem } }));
    if (sender.matches("form")) notice.scrollIntoView({ block: "center" }); // a form may be far below it
    return;
  }
  const part = page.getElementById(id), old = document.getElementById(id);
  if (!part || !old || !sender.dispatchEvent(new CustomEvent("part:place", { bubbles: true, cancelable: true }))) return;
  const focused = old.contains(document.activeElement) ? document.activeElement : null;
  const [start, end] = [focused?.selectionStart, focused?.selectionEnd];
  for (const kept of part.querySelectorAll("[data-keep]")) {
    const shown = document.getElementById(kept.id);
    if (shown) kept.replaceWith(shown);
  }
  for (const late of part.querySelectorAll("[data-then]")) {
    const shown = document.getElementById(late.id);
    if (shown) late.replaceChildren(...shown.childNodes);
  }
  old.replaceWith(part);
  const again = focused?.id ? document.getElementById(focused.id) : null;
  again?.focus({ preventScroll: true });
  if (again && typeof start === "number") again.setSelectionRange?.(start, end);
  document.dispatchEvent(new CustomEvent("part:placed", { detail: { part } }));
}

document.addEventListener("change", event => {
  const sender = event.target.closest("[data-post]");
  if (sender) send(sender, sender.dataset.post, sender.dataset.part, sender.closest("form") ?? sender.form);
});
async function filter(form) {
  const entries = [...new FormData(form)].filter(([, value]) => value);
  const address = [form.dataset.get, new URLSearchParams(entries)].join(entries.length ? "?" : "");
  await send(form, address, form.dataset.part);
  history.replaceState(null, "", document.getElementById(form.dataset.part)?.dataset.live ?? address);
}
let typing = 0;
document.addEventListener("input", event => {
  const field = event.target.closest("[data-get], [data-typed]");
  if (!field) return;
  clearTimeout(typing);
  const { get, typed, part } = field.dataset;
  typing = setTimeout(() => {
    if (field.matches("form")) filter(field);
    else if (typed) send(field, typed, part, field.closest("form"));
    else send(field, `${get}?${new URLSearchParams({ [field.name]: field.value })}`, part);
  }, TYPING);
});
document.addEventListener("part:placed", event => {
  for (const late of event.detail.part.querySelectorAll("[data-then]"))
    send(late, late.dataset.then, late.id, document.getElementById(late.dataset.form));
});

// Any other form is sent once the server has answered, or a server that is lost would take the page and what was
// entered in it. One that takes a while says so, and is not sent twice.
let sent = null;
document.addEventListener("submit", async event => {
  const form = event.target, button = event.submitter;
  if (event.defaultPrevented) return;
  if (form === sent) {
    sent = null;
    if (button) setTimeout(() => { button.disabled = true; button.setAttribute("aria-busy", "true"); });
    return;
  }
  event.preventDefault();
  if (form.hasAttribute("data-get")) { clearTimeout(typing); filter(form); return; }
  if (form.hasAttribute("data-part")) { send(form, form.action, form.dataset.part, form); return; }
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
