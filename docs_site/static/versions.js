"use strict";
// Offers the other versions, if several lie beside this one. versions.json is written by docs_site/versions.py.
(async () => {
  if (location.protocol === "file:") return;
  const above = new URL("../", new URL(document.documentElement.dataset.content_root, location.href));
  const versions = await (await fetch(new URL("versions.json", above))).json();
  if (versions.length < 2) return;
  const label = document.querySelector(".site-versions"), select = label.querySelector("select");
  select.replaceChildren(...versions.map(name => new Option(name, name, false, DOCUMENTATION_OPTIONS.VERSION === name)));
  select.addEventListener("change", () => { location.href = new URL(`${select.value}/`, above).href; });
  label.hidden = false;
})();
