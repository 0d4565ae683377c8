"use strict";
// Collects what was changed in the table of columns into the two fields that the form sends: kinds and features.
function collect(form) {
  const chosen = name => form.querySelector(`input[name=${name}]`);
  if (!chosen("kinds")) return;
  const others = JSON.parse(form.querySelector("[data-others]").dataset.others); // columns that are not shown
  const kinds = { ...others.kinds };
  for (const select of form.querySelectorAll("select.kind")) if (select.value) kinds[select.dataset.column] = select.value;
  const taken = [form.querySelector("[name=target]").value, form.querySelector("[name=id_field]").value];
  const uses = [...form.querySelectorAll("input.use")].filter(box => !taken.includes(box.dataset.column));
  const left = uses.filter(box => !box.checked && !box.disabled);
  chosen("kinds").value = Object.keys(kinds).length ? JSON.stringify(kinds) : "";
  const features = [...uses.filter(box => box.checked).map(box => box.dataset.column), ...others.features.filter(name => !taken.includes(name))];
  chosen("features").value = left.length ? JSON.stringify(features) : "";
}
// An answer to a form that has changed since would undo the change: the form is sent again instead.
let changes = 0, previewed = 0;
// In the capturing phase, before the form is sent.
for (const kind of ["input", "change", "submit"]) document.addEventListener(kind, event => {
  const form = event.target.closest("#train");
  if (!form) return;
  changes += 1;
  if (kind === "change" && event.target.name === "file") for (const name of ["target", "id_field", "kinds", "features"]) {
    const field = form.querySelector(`[name=${name}]`);
    if (field) field.remove(); // it belongs to the previous file
  }
  collect(form);
  if (kind === "change" && event.target.closest("#columns") && event.target.name !== "model") preview(form);
}, true);
function preview(form) {
  form.querySelector("[data-post]").dispatchEvent(new Event("change", { bubbles: true }));
}
const isPreview = element => element.matches("#train [data-post]");
document.addEventListener("part:send", event => { if (isPreview(event.target)) previewed = changes; });
document.addEventListener("part:place", event => {
  if (!isPreview(event.target) || previewed === changes) return;
  event.preventDefault();
  preview(document.getElementById("train"));
});
// A preview may have been lost with the server.
document.body.addEventListener("found", () => {
  const form = document.getElementById("train");
  if (form.querySelector("[name=file]").files.length) preview(form);
});
