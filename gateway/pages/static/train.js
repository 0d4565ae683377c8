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
// In the capturing phase, before htmx reads the form.
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
// htmx cannot listen to the table, which is new after each preview.
function preview(form) {
  form.querySelector("[hx-trigger]").dispatchEvent(new Event("columns"));
}
const isPreview = element => element.matches("#train [hx-trigger*=columns]");
document.addEventListener("htmx:beforeRequest", event => { if (isPreview(event.detail.elt)) previewed = changes; });
document.addEventListener("htmx:beforeSwap", event => {
  const { requestConfig, shouldSwap, isError } = event.detail;
  if (!isPreview(requestConfig.elt) || !shouldSwap || isError || previewed === changes) return;
  event.detail.shouldSwap = false;
  preview(document.getElementById("train")); // htmx sends it once this answer is done
});
// A preview may have been lost with the server.
document.body.addEventListener("found", () => {
  const form = document.getElementById("train");
  if (form.querySelector("[name=file]").files.length) preview(form);
});
