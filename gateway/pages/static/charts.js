"use strict";
// Shows the values of a chart for the moment under the pointer. Without a pointer, those of its last moment are shown.

let pointed = null; // its chart
function show(figure, share) {
  const [times] = figure.querySelectorAll("[data-texts]");
  const last = times.dataset.texts.split("|").length - 1;
  const at = Math.round(Math.min(1, Math.max(0, share)) * last);
  for (const part of figure.querySelectorAll("[data-texts]")) part.textContent = part.dataset.texts.split("|")[at];
  const line = figure.querySelector(".pointer");
  for (const end of ["x1", "x2"]) line.setAttribute(end, `${100 * at / last}%`);
  line.classList.toggle("shown", figure === pointed);
}
function point(element, x) {
  const figure = element?.closest(".traffic") ?? null, before = pointed;
  pointed = figure;
  if (before && before !== figure) show(before, 1);
  if (!figure) return;
  const plot = figure.querySelector(".net").getBoundingClientRect();
  show(figure, (x - plot.left) / plot.width);
}
let x = -1, y = -1;
for (const kind of ["pointerdown", "pointermove"]) document.addEventListener(kind, event => {
  [x, y] = [event.clientX, event.clientY];
  point(event.target, x);
});
document.documentElement.addEventListener("pointerleave", () => point(null));
document.addEventListener("part:placed", () => point(document.elementFromPoint(x, y), x));
