"use strict";
// Shows the values of a chart for the moment under the pointer. Without a pointer, those of its last moment are shown.
// Dragging over a chart shows that time alone. An event of the list that has the focus is lit in the charts.

let pointed = null; // its chart
function show(figure, share) {
  const [times] = figure.querySelectorAll("[data-texts]");
  const last = times.dataset.texts.split("|").length - 1;
  const at = Math.round(share * last);
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
  show(figure, shareOf(figure, x));
}
let x = -1, y = -1;
for (const kind of ["pointerdown", "pointermove"]) document.addEventListener(kind, event => {
  [x, y] = [event.clientX, event.clientY];
  point(event.target, x);
});
document.documentElement.addEventListener("pointerleave", () => point(null));
document.addEventListener("part:placed", () => point(document.elementFromPoint(x, y), x));

const shareOf = (figure, x) => {
  const plot = figure.querySelector(".net").getBoundingClientRect();
  return Math.min(1, Math.max(0, (x - plot.left) / plot.width));
};
let drag = null; // where it began
document.addEventListener("pointerdown", event => {
  const chart = event.pointerType === "mouse" && event.target.closest(".traffic .chart");
  drag = chart ? { figure: chart.closest(".traffic"), x: event.clientX } : null;
});
document.addEventListener("pointerup", event => {
  if (!drag?.figure.isConnected || Math.abs(event.clientX - drag.x) < 12) return;
  const times = drag.figure.querySelector("[data-at][data-texts]").dataset.at.split("|");
  const ends = [drag.x, event.clientX].map(x => shareOf(drag.figure, x)).sort((a, b) => a - b);
  const [from, to] = [Math.floor, Math.ceil].map((round, end) => times[round(ends[end] * (times.length - 1))]);
  if (from < to) location.search = new URLSearchParams({ from, to });
});
for (const [kind, isLit] of [["focusin", true], ["focusout", false], ["pointerover", true], ["pointerout", false]])
  document.addEventListener(kind, event => {
    const at = event.target.closest?.(".events [data-event]")?.dataset.event;
    if (at) for (const line of document.querySelectorAll(`.chart [data-event="${at}"]`)) line.classList.toggle("lit", isLit);
  });
