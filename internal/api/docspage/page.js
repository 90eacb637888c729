// Shows the OpenAPI document of this server, and sends what people fill in.
"use strict";

/** element makes an element with attributes, "text" being its text, and children. */
function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "text") made.textContent = value;
    else if (value !== undefined) made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

/** resolve follows a reference into the document. */
function resolve(doc, schema) {
  let found = schema ?? {};
  while (found.$ref) {
    found = found.$ref.slice(2).split("/").reduce((at, key) => at[key.replaceAll("~1", "/").replaceAll("~0", "~")], doc);
  }
  return found;
}

/** example is a value of a schema, to begin with. */
function example(doc, schema, depth = 0) {
  const s = resolve(doc, schema);
  if (s.examples?.length) return s.examples[0];
  if (s.default !== undefined) return s.default;
  if (s.enum) return s.enum[0];
  const type = Array.isArray(s.type) ? s.type[0] : s.type;
  switch (type) {
    case "object": {
      const out = {};
      const required = new Set(s.required ?? []);
      for (const [name, of] of Object.entries(s.properties ?? {})) {
        if (required.has(name) && depth < 4) out[name] = example(doc, of, depth + 1);
      }
      return out;
    }
    case "array": return [];
    case "integer": case "number": return s.minimum ?? 0;
    case "boolean": return false;
    default: return "";
  }
}

/** lines describes a schema, one line a member. */
function lines(doc, schema, indent = "", seen = []) {
  const s = resolve(doc, schema);
  const type = [s.type ?? "any"].flat().join(" or ");
  if (s.items) return [`${indent}list of:`, ...lines(doc, s.items, `${indent}  `, seen)];
  if (!s.properties) return [`${indent}${type}${s.enum ? `: ${s.enum.join(", ")}` : ""}`];
  if (seen.includes(s) || seen.length > 3) return [`${indent}…`];
  const out = [];
  for (const [name, of] of Object.entries(s.properties)) {
    const member = resolve(doc, of);
    const kind = [member.type ?? "any"].flat().join(" or ");
    const optional = s.required?.includes(name) ? "" : "?";
    out.push(`${indent}${name}${optional}: ${kind}${member.enum ? ` (${member.enum.join(", ")})` : ""}${of.description ?? member.description ? ` — ${of.description ?? member.description}` : ""}`);
    const below = member.items ? resolve(doc, member.items) : member;
    if (below.properties) out.push(...lines(doc, below, `${indent}    `, [...seen, s]));
  }
  return out;
}

/** field is a labelled input of a parameter. */
function field(doc, id, parameter) {
  const s = resolve(doc, parameter.schema);
  const name = `${id}-${parameter.in}-${parameter.name}`;
  const label = element("label", { for: name, text: `${parameter.name} (${parameter.in}${parameter.required ? ", required" : ""}) ${parameter.description ?? ""}` });
  let input;
  if (s.enum) {
    input = element("select", { id: name }, element("option", { value: "", text: "" }), ...s.enum.map((value) => element("option", { value, text: value })));
  } else {
    input = element("input", { id: name, autocomplete: "off", spellcheck: "false", placeholder: parameter.example ?? s.examples?.[0] ?? s.default });
  }
  return { parameter, input, parts: [label, input] };
}

/** address is the path of a call with what is filled in. */
function address(path, fields) {
  let url = path;
  const query = new URLSearchParams();
  for (const { parameter, input } of fields) {
    if (parameter.in === "path") url = url.replace(`{${parameter.name}}`, encodeURIComponent(input.value));
    else if (parameter.in === "query" && input.value !== "") query.set(parameter.name, input.value);
  }
  const text = query.toString();
  return text === "" ? url : `${url}?${text}`;
}

/** below is what comes before the paths of the calls, where the page is not at the root of its server. */
const below = location.pathname.replace(/\/v1\/api\/docs$/, "");

/** send makes a call and shows its answer. */
async function send(method, path, fields, body, output) {
  const headers = {};
  const token = document.getElementById("token").value;
  if (token !== "") headers.Authorization = `Bearer ${token}`;
  for (const { parameter, input } of fields) {
    if (parameter.in === "header" && input.value !== "") headers[parameter.name] = input.value;
  }
  const request = { method: method.toUpperCase(), headers, cache: "no-store", credentials: "same-origin" };
  if (body && body.value.trim() !== "") {
    headers["Content-Type"] = "application/json";
    request.body = body.value;
  }
  const url = address(path, fields);
  output.textContent = `${request.method} ${url} …`;
  try {
    const answer = await fetch(below + url, request);
    let text = await answer.text();
    try {
      text = JSON.stringify(JSON.parse(text), null, 2);
    } catch {
      // it is shown as it came
    }
    const of = [...answer.headers].map(([name, value]) => `${name}: ${value}`).join("\n");
    output.textContent = `${request.method} ${url}\n${answer.status} ${answer.statusText}\n${of}\n\n${text.slice(0, 200000)}`;
  } catch (error) {
    output.textContent = `${request.method} ${url}\nno answer: ${error.message}`;
  }
}

/** call is one operation of the document. */
function call(doc, path, method, operation) {
  const id = operation.operationId;
  const fields = (operation.parameters ?? []).map((parameter) => field(doc, id, parameter));
  const form = element("form", { "aria-label": `Try ${id}` }, ...fields.flatMap((f) => f.parts));
  let body;
  const content = operation.requestBody?.content?.["application/json"];
  if (content) {
    body = element("textarea", { id: `${id}-body`, rows: "6", spellcheck: "false" });
    body.value = JSON.stringify(example(doc, content.schema), null, 2);
    form.append(element("label", { for: `${id}-body`, text: "body (JSON)" }), body,
      element("pre", { text: lines(doc, content.schema).join("\n") }));
  }
  const output = element("pre", { "aria-live": "polite", tabindex: "0", "aria-label": `Answer of ${id}` });
  form.append(element("button", { text: "Try it out" }), output);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send(method, path, fields, body, output);
  });
  const answers = Object.entries(operation.responses ?? {}).map(([status, answer]) => {
    const [media] = Object.keys(answer.content ?? {});
    const text = media ? lines(doc, answer.content[media].schema).join("\n") : "no body";
    return element("details", {}, element("summary", { text: `Answer ${status}: ${answer.description}` }), element("pre", { tabindex: "0", text }));
  });
  return element("details", { id, "data-text": `${method} ${path} ${id} ${operation.summary ?? ""}`.toLowerCase() },
    element("summary", {}, element("code", { text: `${method.toUpperCase()} ${path}` }), ` ${operation.summary ?? ""}`),
    element("p", { text: operation.description ?? "" }), form, ...answers);
}

/** open shows the call that the address names. */
function open() {
  const named = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (named instanceof HTMLDetailsElement) {
    named.open = true;
    named.scrollIntoView();
  }
}

async function main() {
  const about = document.getElementById("about");
  try {
    const answer = await fetch("openapi.json");
    if (!answer.ok) throw new Error(`${answer.status} ${answer.statusText}`);
    const doc = await answer.json();
    document.getElementById("version").textContent = doc.info.version;
    about.textContent = doc.info.description;
    document.getElementById("bearer").hidden = !doc.components?.securitySchemes?.bearer;
    const calls = Object.entries(doc.paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, operation]) => call(doc, path, method, operation)));
    document.getElementById("calls").append(...calls);
    document.getElementById("filter").addEventListener("input", (event) => {
      const text = event.target.value.toLowerCase();
      for (const shown of calls) shown.hidden = !shown.dataset.text.includes(text);
    });
    document.getElementById("bearer").addEventListener("submit", (event) => event.preventDefault());
    addEventListener("hashchange", open);
    open();
  } catch (error) {
    about.textContent = `The document cannot be read: ${error.message}`;
  }
}

main();
