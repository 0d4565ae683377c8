"use strict";
// Collects what was changed in the table of columns into the two fields that the form sends: kinds and features.
function collect(form) {
  const chosen = name => form.querySelector(`input[name=${name}]`);
  if (!chosen("kinds")) return;
  const kinds = {};
  for (const select of form.querySelectorAll("select.kind")) if (select.value) kinds[select.dataset.column] = select.value;
  const taken = [form.querySelector("[name=target]").value, form.querySelector("[name=id_field]").value];
  const uses = [...form.querySelectorAll("input.use")].filter(box => !taken.includes(box.dataset.column));
  const left = uses.filter(box => !box.checked && !box.disabled);
  chosen("kinds").value = Object.keys(kinds).length ? JSON.stringify(kinds) : "";
  chosen("features").value = left.length ? JSON.stringify(uses.filter(box => box.checked).map(box => box.dataset.column)) : "";
}
// In the capturing phase, before htmx reads the form.
for (const kind of ["change", "submit"]) document.addEventListener(kind, event => {
  const form = event.target.closest("#train");
  if (!form) return;
  if (event.target.name === "file") for (const name of ["target", "id_field", "kinds", "features"]) {
    const field = form.querySelector(`[name=${name}]`);
    if (field) field.remove(); // it belongs to the previous file
  }
  collect(form);
  // htmx cannot listen to the table, which is new after each preview.
  if (kind === "change" && event.target.closest("#columns") && event.target.name !== "model")
    preview(form);
}, true);
function preview(form) {
  form.querySelector("[hx-trigger]").dispatchEvent(new Event("columns"));
}
// A preview may have been lost with the server.
document.body.addEventListener("found", () => {
  const form = document.getElementById("train");
  if (form.querySelector("[name=file]").files.length) preview(form);
});
