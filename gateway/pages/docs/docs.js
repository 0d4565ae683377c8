"use strict";
// Shows /openapi.json, without the requests of each model, or of /docs?model=loan those alone: each operation with its parameters, bodies and answers, a line for curl, and a form that sends
// it. An operation is drawn when it is opened. All texts of the document become text, never HTML.

const place = id => document.getElementById(id);
const model = new URLSearchParams(location.search).get("model") ?? "";
let spec, key = "";

async function show() {
  place("message").textContent = "";
  const headers = key ? { Authorization: `Bearer ${key}` } : {};
  const answer = await fetch(`/openapi.json?${new URLSearchParams({ model })}`, { headers, cache: "no-cache" });
  const content = await answer.json();
  if (!answer.ok) {
    place("key-form").hidden = answer.status === 404;
    place("message").textContent = key || answer.status === 404 ? content.detail : "This gateway needs an API key. Enter one to see what it may use.";
    return;
  }
  spec = content;
  place("key-form").hidden = !spec.components.securitySchemes;
  place("version").textContent = spec.info.version;
  place("about").replaceChildren(...prose(spec.info.description));
  if (model) showModel();
  place("interface").replaceChildren(...sections());
  place("filter-bar").hidden = false;
  filter();
  const linked = place(location.hash.slice(1));
  if (linked?.matches(".operation")) { linked.open = true; linked.scrollIntoView(); }
}

function showModel() {
  document.title = `Requests to ${model} · Modelgate`;
  place("title").textContent = `Requests to ${model}`;
  place("about").replaceChildren(make("a", { href: `/ui/models/${model}/api` }, `The page of ${model}`), " has its inputs. ",
    make("a", { href: "/docs" }, "All other requests"), " are the same for all models.");
}

function showOrExplain() {
  show().catch(error => {
    place("message").textContent = `The gateway does not answer (${error.message}); load this page again.`;
  });
}

place("key-form").addEventListener("submit", event => {
  event.preventDefault();
  key = place("key").value.trim();
  showOrExplain();
});
place("filter").addEventListener("input", filter);
showOrExplain();

// Hides the operations that lack one of the words.
function filter() {
  const words = place("filter").value.toLowerCase().split(/\s+/), all = [...document.querySelectorAll(".operation")];
  for (const block of all) block.hidden = !words.every(word => block.dataset.words.includes(word));
  for (const section of place("interface").children) section.hidden = !section.querySelector(".operation:not([hidden])");
  place("found").textContent = `${all.filter(block => !block.hidden).length} of ${all.length}`;
}

// Makes an element; attributes that are false, null or undefined are left out.
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes))
    if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value === true ? "" : value);
  element.append(...children);
  return element;
}

// What stands between backticks is code.
const prose = (text = "") => text.split("`").map((part, at) => at % 2 ? make("code", {}, part) : part);

// Details whose content is made once they are opened.
function lazy(attributes, summary, content) {
  const details = make("details", attributes, make("summary", {}, ...summary));
  details.addEventListener("toggle", () => { if (details.open && details.children.length === 1) details.append(...content()); });
  return details;
}

function sections() {
  const byTag = new Map((spec.tags ?? []).map(tag => [tag.name, []])); // those of models come first
  for (const [path, methods] of Object.entries(spec.paths)) for (const [method, operation] of Object.entries(methods)) {
    const [tag] = operation.tags;
    if (!byTag.has(tag)) byTag.set(tag, []);
    byTag.get(tag).push(block(path, method, operation, tag));
  }
  return [...byTag].map(([tag, blocks]) => make("section", {}, make("h2", {}, tag.replaceAll("_", " ")), ...blocks));
}

function block(path, method, operation, tag) {
  const name = make("b", { class: method }, method.toUpperCase());
  const summary = [name, make("code", {}, path), make("span", {}, ...prose(operation.summary))];
  const id = `operation-${operation.operationId}`;
  const details = lazy({ class: "operation card", id }, summary, () => [make("div", {},
    make("p", {}, ...prose(operation.description)), requestForm(path, method, operation),
    make("h3", {}, "Answers"), make("div", { class: "answers" }, ...Object.entries(operation.responses).map(answerView)))]);
  details.addEventListener("toggle", () => { if (details.open) history.replaceState(null, "", `#${id}`); });
  details.dataset.words = [method, path, tag, operation.operationId, operation.summary, operation.description].join(" ").toLowerCase();
  return details;
}

// Schemas. A part with a `$ref` is what that leads to, with what stands beside it.
function resolved(part) {
  if (!part?.$ref) return part ?? {};
  const { $ref, ...own } = part;
  const target = $ref.slice(2).split("/").reduce((node, name) => node[name.replaceAll("~1", "/").replaceAll("~0", "~")], spec);
  return { ...target, ...own };
}

const MOST_VALUES = 20;
const LIMITS = {
  minimum: "at least", maximum: "at most", exclusiveMinimum: "above", exclusiveMaximum: "below", minLength: "length from", maxLength: "length to",
  minItems: "items from", maxItems: "items to", minProperties: "members from", pattern: "matches", format: "format", default: "by default",
};
function inWords(schema) {
  const { type = "any value", enum: values, items, anyOf, oneOf, additionalProperties, ...rest } = resolved(schema);
  if (anyOf || oneOf) return (anyOf ?? oneOf).map(inWords).join(", or ");
  const nameOf = one => one === "array" ? `list of ${inWords(items)}` : one === "object" ? schema.$ref?.split("/").at(-1) ?? one : one;
  const words = [[type].flat().map(nameOf).join(" or ")];
  if (additionalProperties?.type) words.push(`any names, each ${inWords(additionalProperties)}`);
  if (values) words.push(`one of ${values.slice(0, MOST_VALUES).map(value => JSON.stringify(value)).join(", ")}`);
  if (values?.length > MOST_VALUES) words.push(`and ${values.length - MOST_VALUES} more`);
  for (const [limit, said] of Object.entries(LIMITS)) if (limit in rest) words.push(`${said} ${rest[limit]}`);
  return words.join(", ");
}

// The objects with named fields that a schema is made of.
function objectsIn(schema) {
  const { properties, items, anyOf = [], oneOf = [], additionalProperties } = resolved(schema);
  if (properties) return [resolved(schema)];
  const parts = [items, additionalProperties, ...anyOf, ...oneOf].filter(part => typeof part === "object");
  return [...new Set(parts.flatMap(objectsIn))];
}

function schemaView(schema) {
  const property = (name, part, isRequired) => {
    const about = ` ${inWords(part)}${isRequired ? "; required" : ""}. `;
    const said = [make("code", {}, name), about, ...prose(resolved(part).description)];
    return make("li", {}, ...(objectsIn(part).length ? [lazy({}, said, () => schemaView(part))] : said));
  };
  return objectsIn(schema).map(({ properties, required = [] }) => make("ul", { class: "schema" },
    ...Object.entries(properties).map(([name, part]) => property(name, part, required.includes(name)))));
}

function exampleOf(schema) {
  const { type, items, anyOf, oneOf, properties = {}, required = [], ...rest } = resolved(schema);
  const known = rest.example ?? rest.examples?.[0] ?? rest.default ?? rest.enum?.[0];
  if (known !== undefined) return known;
  if (anyOf || oneOf) return exampleOf((anyOf ?? oneOf)[0]);
  const [first] = [type].flat();
  if (first === "object") return Object.fromEntries(required.map(name => [name, exampleOf(properties[name])]));
  if (first === "array") return [exampleOf(items)];
  return { string: "", integer: 0, number: 0, boolean: false }[first] ?? {};
}

const noted = (name, about, text) => make("p", { class: "note" }, make("code", {}, name), about, ...prose(text));
function answerView([status, reference]) {
  const { description, headers = {}, content = {} } = resolved(reference);
  const said = [make("span", { class: `badge ${status < 400 ? "good" : "bad"}` }, status), " ", ...prose(description)];
  const parts = Object.entries(content);
  if (!parts.length && !Object.keys(headers).length) return make("div", {}, ...said);
  return lazy({}, said, () => [
    ...Object.entries(headers).map(([name, header]) => noted(name, " ", header.description)),
    ...parts.flatMap(([type, { schema }]) => [noted(type, ` ${inWords(schema)}. `, resolved(schema).description), ...schemaView(schema)]),
  ]);
}

// Requests. An empty field is left out.
let fields = 0;
function labelled(name, about, description, input) {
  input.id = `field-${fields += 1}`;
  const label = make("label", { for: input.id }, name, " ", make("small", {}, about));
  return make("div", { class: "field" }, label, input, make("p", { class: "note" }, ...prose(description)));
}

function parameterField({ name, in: where, required, description, schema, example = "" }) {
  const { enum: values, default: usual } = resolved(schema);
  const options = (values ?? []).filter(value => value !== null).map(value => make("option", { value, selected: value === example }, value));
  const text = { required, value: example, placeholder: usual, autocomplete: "off", spellcheck: "false" };
  const input = values ? make("select", { required }, make("option", { value: "" }), ...options) : make("input", text);
  const about = `${where}, ${inWords(schema)}${required ? ", required" : ""}`;
  return { name, where, input, field: labelled(name, about, description, input) };
}

// Returns the fields of a body, and what makes of them the body to send and the arguments for curl.
function bodyEditor(type, { schema, example }, required) {
  const { properties, format, description } = resolved(schema), isForm = /form/.test(type);
  if (isForm && properties) {
    const parts = Object.entries(properties).map(([name, part]) => {
      const isFile = part.format === "binary", isNeeded = resolved(schema).required?.includes(name);
      const input = make("input", { type: isFile ? "file" : "text", required: isNeeded });
      const about = `${isFile ? "file" : inWords(part)}${isNeeded ? ", required" : ""}`;
      return { name, input, field: labelled(name, about, part.description, input) };
    });
    const values = () => parts.filter(({ input }) => input.value).map(({ name, input }) => [name, input.files?.[0] ?? input.value]);
    return {
      fields: parts.map(part => part.field),
      body: () => collected(new FormData(), values()),
      curl: () => values().map(([name, value]) => `-F ${quoted(`${name}=${value.name ? `@${value.name}` : value}`)}`),
    };
  }
  if (format === "binary") {
    const input = make("input", { type: "file", required });
    const file = () => input.files[0] ?? null;
    const curl = () => [`--data-binary ${quoted(`@${file()?.name ?? "FILE"}`)}`];
    return { fields: [labelled(type, "file", description, input)], body: file, curl, type };
  }
  const isJson = /json$/.test(type), value = example ?? (isForm || !isJson ? "" : exampleOf(schema));
  const text = isJson ? JSON.stringify(value, null, 2) : value, rows = Math.min(16, Math.max(4, text.split("\n").length));
  const input = make("textarea", { required, rows, spellcheck: "false" }, text);
  const about = isForm ? "name=value, one a line" : inWords(schema);
  const fields = [labelled(type, about, description, input), ...schemaView(schema)];
  if (!isForm) {
    const curl = () => input.value ? [`--data-binary ${quoted(isJson ? reformatted(input.value) : input.value)}`] : [];
    return { fields, type, body: () => input.value || null, curl };
  }
  const pairs = () => [...input.value.matchAll(/^([^=\n]+)=(.*)$/gm)].map(pair => pair.slice(1));
  const isMultipart = type.startsWith("multipart");
  return {
    fields,
    body: () => collected(isMultipart ? new FormData() : new URLSearchParams(), pairs()),
    curl: () => pairs().map(pair => `${isMultipart ? "-F" : "--data-urlencode"} ${quoted(pair.join("="))}`),
  };
}

function collected(form, pairs) {
  for (const [name, value] of pairs) form.append(name, value);
  return form;
}

const quoted = text => `'${text.replaceAll("'", "'\\''")}'`;
function reformatted(text, indent) {
  try { return JSON.stringify(JSON.parse(text), null, indent); } catch { return text; }
}

// A form with the parameters and the body, the line for curl that does the same, and the answer once it is sent.
function requestForm(path, method, operation) {
  const parameters = operation.parameters.map(parameterField);
  const { content = {}, required } = operation.requestBody ?? {}, types = Object.keys(content);
  const type = make("select", {}, ...types.map(name => make("option", {}, name)));
  const bodies = make("div"), curl = make("pre", { tabindex: 0 });
  const button = make("button", { class: "primary" }, "Send the request");
  const answer = make("div", { class: "reply", "aria-live": "polite" });
  const form = make("form", {},
    ...(parameters.length ? [make("h3", {}, "Parameters"), make("div", { class: "fields" }, ...parameters.map(({ field }) => field))] : []),
    ...(types.length ? [make("h3", {}, "Body")] : []),
    ...(types.length > 1 ? [labelled("Media type", "", "", type)] : []), bodies,
    make("h3", {}, "Request"), make("div", { class: "code" }, curl, copyButton(curl)),
    make("div", { class: "actions" }, button), answer);
  let editor = null;
  const write = () => { curl.textContent = curlOf(method, operation, requestOf(path, parameters, editor), editor); };
  function edit() {
    if (types.length) editor = bodyEditor(type.value, content[type.value], required);
    bodies.replaceChildren(...(editor?.fields ?? []));
    write();
  }
  type.addEventListener("change", edit);
  for (const kind of ["input", "change"]) form.addEventListener(kind, write);
  form.addEventListener("submit", async event => {
    event.preventDefault();
    button.disabled = true;
    const { url, headers } = requestOf(path, parameters, editor);
    if (key) headers.Authorization ??= `Bearer ${key}`;
    const options = { method: method.toUpperCase(), headers, body: editor?.body(), cache: "no-store" };
    const failed = error => [make("p", { class: "wrong" }, `The request was not answered: ${error.message}`)];
    answer.replaceChildren(...await sentView(url, options).catch(failed));
    button.disabled = false;
  });
  edit();
  return form;
}

function requestOf(path, parameters, editor) {
  const query = new URLSearchParams(), headers = {};
  for (const { name, where, input } of parameters) if (input.value) {
    if (where === "path") path = path.replace(`{${name}}`, encodeURIComponent(input.value));
    else if (where === "query") query.append(name, input.value);
    else headers[name] = input.value;
  }
  if (editor?.type) headers["Content-Type"] = editor.type;
  return { url: `${path}${query.size ? `?${query}` : ""}`, headers };
}

function curlOf(method, operation, { url, headers }, editor) {
  const isClosed = spec.components.securitySchemes && operation.security?.length !== 0;
  const verb = method === "get" ? "" : `-X ${method.toUpperCase()} `;
  const lines = Object.entries(headers).map(([name, value]) => `-H ${quoted(`${name}: ${value}`)}`);
  if (isClosed) lines.unshift('-H "Authorization: Bearer $KEY"');
  return [`curl -s ${verb}${quoted(location.origin + url)}`, ...lines, ...(editor?.curl() ?? [])].join(" \\\n  ");
}

async function sentView(url, options) {
  const began = performance.now(), answer = await fetch(url, options), body = await answer.blob();
  const type = answer.headers.get("Content-Type") ?? "", isText = /text|json/.test(type);
  const text = isText ? await body.text() : "";
  const shown = /json($|;)/.test(type) ? reformatted(text, 2) : text;
  const status = make("span", { class: `badge ${answer.ok ? "good" : "bad"}` }, `${answer.status}`);
  const file = make("a", { href: isText ? null : URL.createObjectURL(body), download: "answer" }, `${body.size} bytes of ${type}`);
  const headers = [...answer.headers].map(header => header.join(": ")).join("\n");
  return [make("h3", {}, "Its answer"), make("p", {}, status, ` ${answer.statusText} after ${Math.round(performance.now() - began)} ms`),
    lazy({}, ["Headers"], () => [make("pre", { tabindex: 0 }, headers)]),
    ...(shown ? [make("pre", { class: "body", tabindex: 0 }, shown)] : body.size ? [make("p", {}, file)] : [])];
}

function copyButton(source) {
  const button = make("button", { type: "button", class: "copy quiet" }, "Copy");
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(source.textContent);
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
  return button;
}
