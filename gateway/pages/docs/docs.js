// Shows /openapi.json with Swagger UI, with an API key where the gateway asks for one. The key stays in this page.
"use strict";

const form = document.getElementById("key-form");
const message = document.getElementById("message");
const dark = matchMedia("(prefers-color-scheme: dark)");
let key = "";

function setColors() {
  document.documentElement.classList.toggle("dark-mode", dark.matches);
}

function withKey(headers) {
  return key && !headers.Authorization ? { ...headers, Authorization: `Bearer ${key}` } : headers;
}

async function show() {
  message.textContent = "";
  const answer = await fetch("/openapi.json", { headers: withKey({}), cache: "no-cache" });
  const found = await answer.json();
  if (!answer.ok) {
    form.hidden = false;
    message.textContent = key ? found.detail : "This gateway needs an API key. Enter one to see what it may use.";
    return;
  }
  form.hidden = !found.components.securitySchemes;
  SwaggerUIBundle({
    spec: found,
    dom_id: "#interface",
    deepLinking: true,
    docExpansion: "list",
    defaultModelsExpandDepth: 0,
    filter: true,
    tryItOutEnabled: true,
    validatorUrl: null,
    requestInterceptor: (request) => ({ ...request, headers: withKey(request.headers) }),
  });
}

function showOrExplain() {
  show().catch((error) => {
    message.textContent = `The gateway does not answer (${error.message}); load this page again.`;
  });
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  key = document.getElementById("key").value.trim();
  showOrExplain();
});
dark.addEventListener("change", setColors);
setColors();
showOrExplain();
