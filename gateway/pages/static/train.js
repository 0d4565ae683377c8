"use strict";
// Collects what was changed in the table of columns into the two fields that the form sends: kinds and features.
function collect(form) {
  const chosen = name => form.querySelector(`input[name=${name}]`);
  if (!chosen("kinds")) return;
  const others = JSON.parse(form.querySelector("[data-others]").dataset.others); // columns that are not shown
  const kinds = { ...others.kinds };
  for (const select of form.querySelectorAll("select.kind")) if (select.value) kinds[select.dataset.column] = select.value;
  const target = form.querySelector("[name=target]").value, taken = [target, form.querySelector("[name=id_field]").value];
  const uses = [...form.querySelectorAll("input.use")].filter(box => !taken.includes(box.dataset.column));
  const left = uses.filter(box => !box.checked && !box.disabled);
  // Of an earlier target or id, or a suggested one, nobody has said that it is left out.
  const free = [...form.querySelectorAll("tr.target, tr.id")].map(row => nameOf(row)).filter(name => target && !taken.includes(name));
  const used = uses.filter(box => box.checked).map(box => box.dataset.column);
  const features = [...used, ...free, ...others.features.filter(name => !taken.includes(name))];
  chosen("kinds").value = Object.keys(kinds).length ? JSON.stringify(kinds) : "";
  chosen("features").value = left.length ? JSON.stringify(features) : "";
  form.querySelector("#used").textContent = features.length;
  // While a part is replaced, what is kept of it is in neither.
  form.querySelector("#filter")?.setCustomValidity(left.length && !features.length ? "Use at least one column." : "");
}
const nameOf = row => row.querySelector("bdi").textContent;
// An answer to a form that has changed since would undo the change: the form is sent again instead.
let changes = 0, previewed = 0;
// In the capturing phase, before the form is sent.
for (const kind of ["input", "change", "submit"]) document.addEventListener(kind, event => {
  const form = event.target.closest("#train");
  if (!form) return;
  if (event.target.closest("#choosing")) { showRows(form); return; }
  if (event.target.closest("#more")) return;
  changes += 1;
  if (kind === "change" && event.target.name === "file") {
    for (const name of ["target", "id_field", "kinds", "features"]) form.querySelector(`[name=${name}]`)?.remove(); // it belongs to the previous file
    for (const field of form.querySelectorAll("#choosing input")) field.value = field.checked = "";
  }
  collect(form);
  if (kind === "change" && event.target.closest("#columns") && event.target.name !== "model") preview(form);
}, true);
function preview(form) {
  if (form.querySelector("[name=features]")?.value === "[]") return; // it would be refused
  form.querySelector("[data-post]").dispatchEvent(new Event("change", { bubbles: true }));
}
const isPreview = element => element.matches("#train [data-post]");
document.addEventListener("part:send", event => { if (isPreview(event.target)) previewed = changes; });
document.addEventListener("part:place", event => {
  if (!isPreview(event.target) || previewed === changes) return;
  event.preventDefault();
  preview(document.getElementById("train"));
});
document.addEventListener("part:placed", event => {
  const form = event.detail.part.closest("#train");
  if (!form?.querySelector("#choosing")) return;
  for (const scripted of form.querySelectorAll("#choosing, [data-target]")) scripted.hidden = false;
  const kinds = [...form.querySelector("#kinds").content.children]; // once, since a table may have a thousand columns
  for (const select of form.querySelectorAll("select.kind")) {
    const offered = [...select.options].map(option => option.text);
    select.append(...kinds.filter(kind => !offered.includes(kind.text)).map(kind => kind.cloneNode(true)));
  }
  showRows(form);
});
// A preview may have been lost with the server.
document.body.addEventListener("found", () => {
  const form = document.getElementById("train");
  if (form.querySelector("[name=file]").files.length) preview(form);
});

// The filter of the columns, and what is done with those that it shows.
function showRows(form) {
  const word = form.querySelector("#filter").value.trim().toLowerCase(), doubtful = form.querySelector("#doubtful").checked;
  const rows = [...form.querySelectorAll(".columns tbody tr")];
  for (const row of rows) row.hidden = !nameOf(row).toLowerCase().includes(word) || (doubtful && !row.matches(".doubtful"));
  const shown = rows.filter(row => !row.hidden).length;
  form.querySelector("#shown").textContent = shown < rows.length ? `, ${shown} shown` : "";
}
document.addEventListener("keydown", event => {
  if (event.key === "Enter" && event.target.id === "filter") event.preventDefault(); // it starts no training
});
document.addEventListener("click", async event => {
  const { all, target, sample } = event.target.dataset, form = event.target.closest("#train");
  if (all !== undefined) {
    for (const box of form.querySelectorAll("tr:not([hidden]) input.use:enabled")) box.checked = all === "1";
    changes += 1;
    collect(form);
    preview(form);
  } else if (target !== undefined) {
    const select = form.querySelector("[name=target]");
    select.value = target;
    select.dispatchEvent(new Event("change", { bubbles: true }));
    select.focus();
  } else if (sample !== undefined) {
    event.preventDefault();
    const file = form.querySelector("[name=file]"), chosen = new DataTransfer();
    chosen.items.add(new File([await (await fetch(event.target.href)).blob()], sample, { type: "text/csv" }));
    file.files = chosen.files;
    file.dispatchEvent(new Event("change", { bubbles: true }));
  }
});

// What is wrong is said at its field, too.
document.addEventListener("part:problem", event => {
  const form = event.target.closest("#train");
  if (!form) return;
  for (const said of form.querySelectorAll(".wrong")) said.remove();
  for (const field of form.querySelectorAll("[aria-invalid]")) field.removeAttribute("aria-invalid");
  for (const [name, message] of Object.entries(JSON.parse(event.detail.problem.dataset.errors))) {
    const field = [...form.elements].find(element => element.name === name && element.type !== "hidden");
    if (!field) continue;
    const said = Object.assign(document.createElement("p"), { className: "wrong", id: `${name}-wrong`, textContent: message });
    field.setAttribute("aria-invalid", "true");
    field.setAttribute("aria-describedby", said.id);
    field.closest(".field, .check").append(said);
    for (const outer of form.querySelectorAll("details")) outer.open ||= outer.contains(field);
  }
});
