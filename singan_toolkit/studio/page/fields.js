// A field for each option, made from what the task declares.

import { named, pictures, upload, viewOf, whileShown } from "./api.js";
import { attempt, fill, h, labelled } from "./dom.js";
import { chooser, takesDrops } from "./library.js";

// element, read() and write(value) of a field; `changed` is called with each value that people give.
export function fieldOf(field, changed, paint) {
  const made = { picture: file, mask: file, painting: file, flag, choice, slider, number }[field.kind] ?? text;
  return made(field, changed, paint);
}

// The option's help, in the words of the page.
const inWords = (text) => text.replace(/--([a-z][a-z-]*)/g, (_, name) => `\u201c${name}\u201d`);
const helpOf = (field) => inWords([field.help, field.by_default ? `Without: ${field.by_default}.` : ""].filter(Boolean).join(" "));
const marked = (field) => field.label + (field.required ? " (needed)" : "");

function file(field, changed, paint) {
  const select = h("select", { name: field.name, onchange: () => (look(), changed(select.value)) });
  const image = new Image();
  image.className = "thumb";
  const look = () => {
    image.hidden = !select.value;
    if (select.value) Object.assign(image, { src: viewOf(select.value, 160), alt: select.value });
  };
  const draw = () => {
    const before = select.value;
    fill(select, h("option", { value: "" }, field.by_default || (field.required ? "choose a picture" : "none")), pictures().map((entry) => h("option", { value: entry.name }, entry.name)));
    write(before);
  };
  const write = (value) => {
    if (value && ![...select.options].some((option) => option.value === value)) select.append(h("option", { value }, value.split("/").at(-1)));
    select.value = value || "";
    look();
  };
  const take = (files) => attempt(async () => {
    const name = await upload(files[0]);
    write(name);
    changed(name);
  });
  draw();
  whileShown(select, "library", draw);
  const verb = field.kind === "mask" ? "Paint the mask" : "Paint";
  const painted = field.kind === "picture" ? null : h("button", { type: "button", class: "small paint", onclick: () => paint(field) }, verb);
  const row = h("div", { class: "file" }, image, select, h("div", { class: "acts" }, painted, chooser("Choose a file", take, "image/*")));
  const element = labelled(marked(field), select, inWords(field.help), row);
  return { element: takesDrops(element, take), read: () => select.value || null, write };
}

function flag(field, changed) {
  const box = h("input", { type: "checkbox", name: field.name, checked: Boolean(field.default), onchange: () => changed(box.checked) });
  const element = labelled(field.label, box, helpOf(field));
  element.classList.add("flag");
  return { element, read: () => box.checked, write: (value) => (box.checked = value) };
}

function choice(field, changed) {
  const select = h("select", { name: field.name, onchange: () => changed(select.value) }, field.default === null ? h("option", { value: "" }, field.by_default || "none") : null, field.choices.map((one) => h("option", { value: one }, one)));
  select.value = field.default ?? "";
  return { element: labelled(marked(field), select, helpOf(field)), read: () => select.value || null, write: (value) => (select.value = value ?? "") };
}

function numberInput(field, changed) {
  const step = field.whole ? 1 : "any";
  return h("input", { type: "number", name: field.name, min: field.min, max: field.max, step, value: field.default ?? "", onchange: (event) => changed(event.target.value) });
}

const readNumber = (input) => (input.value === "" ? null : Number(input.value));

function number(field, changed) {
  const input = numberInput(field, changed);
  return { element: labelled(marked(field), input, helpOf(field)), read: () => readNumber(input), write: (value) => (input.value = value ?? "") };
}

function slider(field, changed) {
  if (field.default === null) return number(field, changed); // what is not given has no place on a slider
  const input = numberInput(field, () => (match(), changed(input.value)));
  const step = field.whole ? 1 : (field.max - field.min) / 100;
  const range = h("input", { type: "range", min: field.min, max: field.max, step, value: field.default, "aria-label": `${field.label}, slider`, oninput: () => ((input.value = Number(Number(range.value).toPrecision(4))), changed(input.value)) });
  const match = () => (range.value = input.value);
  const element = labelled(marked(field), input, helpOf(field), h("div", { class: "slider" }, range, input));
  return { element, read: () => readNumber(input), write: (value) => ((input.value = value), match()) };
}

function text(field, changed) {
  const input = h("input", { type: "text", name: field.name, value: field.default ?? "", autocomplete: "off", spellcheck: false, onchange: () => changed(input.value) });
  return { element: labelled(marked(field), input, helpOf(field)), read: () => (input.value === "" ? null : input.value), write: (value) => (input.value = value ?? "") };
}

// A field for a file of the folder that is no option of the task: the bundle, or the picture to train on.
export function entryField(label, name, list, changed, empty) {
  const select = h("select", { name, onchange: () => changed(select.value) });
  const draw = () => {
    const before = select.value;
    fill(select, list().length ? null : h("option", { value: "" }, empty), list().map((entry) => h("option", { value: entry.name }, entry.name)));
    if (named(before)) select.value = before;
    else if (drawn && before !== select.value) changed(select.value);
    drawn = true;
  };
  let drawn = false;
  draw();
  whileShown(select, "library", draw);
  return { element: labelled(label, select), read: () => select.value, write: (value) => named(value) && (select.value = value) };
}
