// What the server is asked, and what all pages know: the library, the tasks and the queue.

async function ask(path, options) {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw new Error("The studio does not answer: is singan-tk studio still running?");
  }
  if (answer.ok) return answer.json();
  const text = await answer.text();
  let sentence = text;
  try {
    sentence = JSON.parse(text).error || text;
  } catch {
    // plain text is a sentence already
  }
  throw new Error(sentence.charAt(0).toUpperCase() + sentence.slice(1));
}

const query = (given) => new URLSearchParams(Object.entries(given).filter(([, value]) => value !== undefined && value !== "" && value !== null));

export const get = (path, given = {}) => ask(`/api/${path}?${query(given)}`);
export const post = (path, body = {}) => ask(`/api/${path}`, { method: "POST", body: JSON.stringify(body) });
export const send = (path, given, content) => ask(`/api/${path}?${query(given)}`, { method: "POST", body: content });

export const store = { folder: "", entries: [], tasks: [], presets: {}, tickets: new Map() };
const heard = new EventTarget();

// Calls a function at each change of the library or of the tickets, as long as an element is on the page.
export function whileShown(element, what, act) {
  const listener = (event) => (element.isConnected ? act(event.detail) : heard.removeEventListener(what, listener));
  heard.addEventListener(what, listener);
}

const tell = (what, detail) => heard.dispatchEvent(new CustomEvent(what, { detail }));

export async function loadLibrary() {
  Object.assign(store, await get("library"));
  tell("library");
}

export async function begin() {
  Object.assign(store, await get("tasks"));
  await loadLibrary();
  listen();
  // A browser has few connections to one server, so pages that nobody sees hold none.
  document.addEventListener("visibilitychange", () => (document.hidden ? events.close() : listen()));
}

let events = null;

function listen() {
  events?.close();
  events = new EventSource("/api/events");
  events.onmessage = (event) => {
    const ticket = JSON.parse(event.data);
    const before = store.tickets.get(ticket.number);
    store.tickets.set(ticket.number, ticket);
    tell("ticket", ticket);
    const kept = (one) => (one ? one.steps.flatMap((step) => step.results).length : 0);
    if (kept(ticket) > kept(before)) loadLibrary().catch(() => {});
  };
}

export const named = (name) => store.entries.find((entry) => entry.name === name);
export const pictures = () => store.entries.filter((entry) => entry.kind === "picture");
export const bundles = () => store.entries.filter((entry) => entry.kind === "bundle");
export const viewOf = (name, longest = 1600) => `/api/view?${query({ name, longest, at: named(name)?.modified })}`;
export const fileOf = (name, inline = false) => `/api/file?${query({ name })}${inline ? "&inline" : ""}`;
export const previewOf = (ticket, place) => `/api/tickets/${ticket.number}/${place}`;

export async function upload(file) {
  const { name } = await send("file", { name: file.name }, file);
  await loadLibrary();
  return name;
}

export const imageOf = (name, longest = 480) =>
  Object.assign(new Image(), { src: named(name)?.kind === "clip" ? fileOf(name, true) : viewOf(name, longest), alt: name, loading: "lazy" });
