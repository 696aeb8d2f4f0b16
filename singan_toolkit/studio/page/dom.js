// Elements, and what is said to people.

export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "class") element.className = value;
    else if (name in element && name !== "list" && name !== "form") element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export function fill(element, ...children) {
  element.replaceChildren(...children.flat().filter(Boolean));
  return element;
}

// As fill, but what is there and alike stays, so that a click or the focus on it is not lost; `data-key` tells apart
// what looks alike and does something else.
export function refill(element, ...children) {
  morphAll(element, children.flat().filter(Boolean));
}

function morphAll(element, fresh) {
  const old = [...element.childNodes];
  fresh.forEach((node, n) => {
    const made = typeof node === "string" ? document.createTextNode(node) : node;
    if (n < old.length) morph(old[n], made);
    else element.append(made);
  });
  old.slice(fresh.length).forEach((node) => node.remove());
}

function morph(old, fresh) {
  if (old.nodeName !== fresh.nodeName || old.dataset?.key !== fresh.dataset?.key) return old.replaceWith(fresh);
  if (old.nodeType === Node.TEXT_NODE) {
    if (old.data !== fresh.data) old.data = fresh.data;
    return undefined;
  }
  for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name)) old.removeAttribute(name);
  for (const { name, value } of fresh.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  return morphAll(old, [...fresh.childNodes]);
}

let clearing = 0;

export function say(sentence, kind = "note") {
  const said = document.getElementById("said");
  fill(said, h("p", { class: kind }, sentence, h("button", { type: "button", "aria-label": "Close", onclick: () => fill(said) }, "\u00d7")));
  clearTimeout(clearing);
  clearing = setTimeout(() => fill(said), kind === "error" ? 12000 : 5000);
}

// Does something, and says what went wrong with it.
export async function attempt(what) {
  try {
    return await what();
  } catch (error) {
    say(error.message || String(error), "error");
    return undefined;
  }
}

// Has a box take its picture's shape, as large as there is room for.
export function shaped(box, image) {
  const shape = () => image.naturalWidth && box.style.setProperty("--ratio", image.naturalWidth / image.naturalHeight);
  image.addEventListener("load", shape);
  shape();
  return box;
}

export function board(image, ...more) {
  return shaped(h("div", { class: "board" }, image, ...more), image);
}

let numbers = 0;

export const unique = (name) => `${name}-${++numbers}`;

// A control with its label and help; `around` is what stands in its place, with the control in it.
export function labelled(label, control, help, around = control) {
  control.id ||= unique("field");
  const told = help ? h("p", { class: "help", id: `${control.id}-help` }, help) : null;
  if (told) control.setAttribute("aria-describedby", told.id);
  return h("div", { class: "field" }, h("label", { htmlFor: control.id }, label), around, told);
}

export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = h("textarea", { value: text });
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  say("Copied: paste it into a shell in the studio\u2019s folder");
}

export const duration = (seconds) =>
  seconds < 90 ? `${Math.max(1, Math.round(seconds))} s` : seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
