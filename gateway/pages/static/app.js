"use strict";
// What pages do by themselves. Reading, and most forms, work without it.

// A live part stays as it is while somebody writes, selects text, or has opened details in it. A log that somebody has
// scrolled stays where it is; others show their newest lines.
let scrolled = null;
document.addEventListener("part:place", event => {
  const part = event.target;
  if (!part.hasAttribute("data-live")) return;
  const chosen = getSelection(), selects = !chosen.isCollapsed && part.contains(chosen.anchorNode);
  if (selects || part.querySelector("details[open], input:focus, select:focus, textarea:focus")) event.preventDefault();
  const log = part.querySelector(".log");
  scrolled = log && log.scrollTop + log.clientHeight < log.scrollHeight - 4 ? log.scrollTop : null;
});

// What was wrong with a value is said until the value is changed.
document.addEventListener("input", event => {
  const field = event.target;
  if (!field.hasAttribute("aria-invalid")) return;
  document.getElementById(field.getAttribute("aria-describedby"))?.remove();
  field.removeAttribute("aria-invalid");
  field.removeAttribute("aria-describedby");
});

// The key / leads to the search of a page.
document.addEventListener("keydown", event => {
  const isTyping = event.target.matches?.("input, select, textarea, [contenteditable]");
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || isTyping) return;
  const search = document.querySelector('[aria-keyshortcuts="/"]');
  if (!search) return;
  event.preventDefault();
  search.focus();
  search.select();
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
  for (const zone of root.querySelectorAll("[data-drop]:not(.ready)")) {
    zone.classList.add("ready"); // one that is kept in a part that is replaced has its listeners
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

// A framed report is as high as what it holds, so that only the page scrolls. It runs no script of its own.
function fitReport(frame) {
  const fit = () => {
    const root = frame.contentDocument && frame.contentDocument.documentElement;
    if (!root || !root.querySelector("main")) return;
    showLocalTimes(root);
    // A part that a link unfolds has made the frame higher only after the browser has scrolled.
    frame.contentWindow.addEventListener("hashchange", () => setTimeout(() => root.querySelector(":target")?.scrollIntoView(), 100));
    new ResizeObserver(() => { frame.style.height = `${Math.ceil(root.getBoundingClientRect().height)}px`; }).observe(root);
  };
  frame.addEventListener("load", fit);
  if (frame.contentDocument && frame.contentDocument.readyState === "complete") fit();
}

// Pages say times in UTC. Here they become those of the browser's zone, each with its name or beside one that names it.
//   data-utc          What is entered in this field is sent in UTC.
//   data-form="FORM"  The time in `datetime` or `data-at` (several: with | between, the last one is shown), or the zone.
const CLOCK = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" }, DAY = { day: "2-digit", month: "short" };
const FORMS = {
  full: ["sv-SE", { ...CLOCK, year: "numeric", month: "2-digit", day: "2-digit", timeZoneName: "short" }],
  moment: ["en-GB", { ...DAY, ...CLOCK }],
  hour: ["en-GB", { ...DAY, ...CLOCK, day: "numeric" }],
  minute: ["en-GB", CLOCK],
  day: ["en-GB", DAY],
};
const formats = new Map(Object.entries(FORMS).map(([form, options]) => [form, new Intl.DateTimeFormat(...options)]));
const local = (stamp, form) => formats.get(form).format(new Date(stamp)).replace(",", "");
const zone = new Intl.DateTimeFormat("en-GB", { timeZoneName: "short" }).formatToParts().at(-1).value;
function showLocalTimes(root) {
  for (const field of root.querySelectorAll("input[data-utc]")) {
    const at = new Date(`${field.value}Z`);
    field.value = new Date(at - 60000 * at.getTimezoneOffset()).toISOString().slice(0, 16);
  }
  for (const part of root.querySelectorAll("time[title]")) part.title = local(part.dateTime, "full");
  for (const part of root.querySelectorAll("[data-form]")) {
    const stamps = part.dateTime ?? part.dataset.at;
    const texts = stamps ? stamps.split("|").map(stamp => local(stamp, part.dataset.form)) : [zone];
    if ("texts" in part.dataset) part.dataset.texts = texts.join("|");
    part.textContent = texts.at(-1);
  }
}

document.addEventListener("formdata", event => {
  for (const field of event.target.querySelectorAll("input[data-utc]"))
    event.formData.set(field.name, new Date(field.value).toISOString());
});

function prepare(root) {
  showLocalTimes(root);
  for (const log of root.querySelectorAll(".log")) log.scrollTop = scrolled ?? log.scrollHeight;
  addCopyButtons(root);
  addDropZones(root);
}
prepare(document);
for (const frame of document.querySelectorAll("iframe.report")) fitReport(frame);
// On a phone. After scrollIntoView, Tab would begin there.
const tab = document.querySelector(".tabs [aria-current]");
if (tab) tab.parentElement.scrollLeft = tab.offsetLeft - tab.parentElement.offsetLeft - tab.parentElement.clientWidth / 2;
document.addEventListener("part:placed", event => {
  prepare(event.detail.part);
  const told = document.getElementById("told"), said = event.detail.part.querySelector("#answer :is(.answer, .wrong)");
  if (told && said) told.textContent = said.textContent; // to who does not see it: the part itself is no live region
  const answer = event.detail.part.querySelector("[data-reveal]"); // on a phone, it is below the form
  if (answer) answer.scrollIntoView({ block: "nearest" });
});
