"use strict";
// What pages do by themselves. Reading, and most forms, work without it.

// Live parts listen to `tick` of the body. A hidden tab asks for nothing, and asks at once when it is shown again. The
// answers say how often to ask: more rarely if many pages are watched.
let every = 5000, lastTick = Date.now();
function tick() {
  if (document.visibilityState !== "visible" || Date.now() - lastTick < every) return;
  lastTick = Date.now();
  document.body.dispatchEvent(new CustomEvent("tick"));
}
setInterval(tick, 1000);
document.addEventListener("visibilitychange", tick);

// A page that has lost its server says so, and continues by itself once the server is back.
const lost = document.getElementById("lost");
document.body.addEventListener("htmx:sendError", () => { lost.hidden = false; });
document.body.addEventListener("htmx:timeout", () => { lost.hidden = false; });
document.body.addEventListener("htmx:afterRequest", event => {
  if (!event.detail.xhr || event.detail.xhr.status === 0) return;
  lost.hidden = true;
  every = 1000 * Number(event.detail.xhr.getResponseHeader("Live-Every") || 5);
  if (event.detail.successful) document.getElementById("notice").replaceChildren();
});

// A live part stays as it is while somebody writes, selects text, or has opened details in it. A log that somebody has
// scrolled stays where it is; others show their newest lines.
let scrolled = null;
document.body.addEventListener("htmx:beforeSwap", event => {
  const part = event.detail.elt;
  const live = (part.getAttribute("hx-trigger") || "").startsWith("tick");
  const chosen = getSelection(), selects = !chosen.isCollapsed && part.contains(chosen.anchorNode);
  if (live && (selects || part.querySelector("details[open], input:focus, select:focus, textarea:focus")))
    event.detail.shouldSwap = false;
  const log = part.querySelector(".log");
  scrolled = log && log.scrollTop + log.clientHeight < log.scrollHeight - 4 ? log.scrollTop : null;
});

// A form that takes a while says so, and is not sent twice.
document.addEventListener("submit", event => {
  if (event.defaultPrevented || event.target.hasAttribute("hx-post")) return;
  const button = event.submitter;
  if (button) setTimeout(() => { button.disabled = true; button.setAttribute("aria-busy", "true"); });
});
addEventListener("pageshow", event => {
  if (event.persisted) for (const button of document.querySelectorAll("button[aria-busy]")) {
    button.disabled = false;
    button.removeAttribute("aria-busy");
  }
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
