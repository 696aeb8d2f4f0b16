// The folder's pictures and bundles; drop to add.

import { bundles, fileOf, imageOf, pictures, store, upload, whileShown } from "./api.js";
import { attempt, fill, h, say } from "./dom.js";

export function library(root) {
  const shelf = h("div");
  root.append(h("h1", {}, "Library"), h("p", { class: "lead" }, "Pictures and trained bundles of the folder ", h("code", { title: store.folder }, store.folder.split(/[\\/]/).at(-1))), dropZone(), shelf);
  const draw = () =>
    fill(
      shelf,
      h("h2", {}, "Bundles"),
      bundles().length ? h("div", { class: "grid" }, bundles().map(bundleCard)) : h("p", { class: "quiet" }, "None yet. Train one on a picture."),
      h("h2", {}, "Pictures"),
      pictures().length ? h("div", { class: "grid" }, pictures().filter((entry) => !entry.origin).map(pictureCard)) : h("p", { class: "quiet" }, "None yet. Drop one above."),
    );
  draw();
  whileShown(shelf, "library", draw);
}

export function chooser(label, act, accept = "image/*,.sgb") {
  const input = h("input", { type: "file", accept, multiple: true, class: "hidden", tabIndex: -1, "aria-label": label, onchange: () => act([...input.files]) });
  return h("span", {}, h("button", { type: "button", class: "quiet", onclick: () => input.click() }, label), input);
}

export function takesDrops(element, act) {
  const over = (event) => {
    event.preventDefault();
    element.classList.toggle("over", event.type === "dragover");
  };
  element.classList.add("takes");
  element.addEventListener("dragover", over);
  element.addEventListener("dragleave", over);
  element.addEventListener("drop", (event) => {
    over(event);
    if (event.dataTransfer.files.length) act([...event.dataTransfer.files]);
    else say("Only files can be dropped here: the studio fetches nothing", "error");
  });
  return element;
}

function dropZone() {
  const add = (files) => attempt(async () => {
    for (const file of files) say(`Added ${await upload(file)}`);
  });
  return takesDrops(h("div", { class: "drop" }, h("p", {}, "Drop pictures or bundles here"), chooser("Choose files", add)), add);
}

function bundleCard(entry) {
  return h(
    "figure",
    { class: "card" },
    h("a", { href: `#task/generate/bundle/${encodeURIComponent(entry.name)}`, "aria-label": `New pictures with ${entry.name}` }, imageOf(entry.name)),
    h("figcaption", {}, h("strong", {}, entry.name), h("span", { class: "acts" }, h("a", { href: `#task/generate/bundle/${encodeURIComponent(entry.name)}` }, "Use"), h("a", { href: fileOf(entry.name), download: "" }, "Download"))),
  );
}

function pictureCard(entry) {
  return h(
    "figure",
    { class: "card" },
    h("a", { href: `#train/${encodeURIComponent(entry.name)}`, "aria-label": `Train on ${entry.name}` }, imageOf(entry.name)),
    h("figcaption", {}, h("strong", {}, entry.name), h("span", { class: "acts" }, h("a", { href: `#train/${encodeURIComponent(entry.name)}` }, "Train"), h("a", { href: fileOf(entry.name), download: "" }, "Download"))),
  );
}
