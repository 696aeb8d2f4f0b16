// Before and after, with a slider between them.

import { fill, h, shaped, unique } from "./dom.js";

export function compare(place, before, after, label) {
  const top = Object.assign(new Image(), { src: after, alt: label });
  const under = Object.assign(new Image(), { src: before, alt: "Before" });
  const id = unique("compare");
  const range = h("input", { type: "range", id, min: 0, max: 100, value: 50, oninput: () => cut() });
  const line = h("div", { class: "line" });
  const box = shaped(h("div", { class: "compare" }, under, top, line), top);
  const cut = () => {
    top.style.clipPath = `inset(0 0 0 ${range.value}%)`;
    line.style.left = `${range.value}%`;
  };
  const controls = h("div", { class: "compare-controls" }, h("label", { htmlFor: id }, "Before"), range, h("span", { "aria-hidden": true }, "After"));
  const fit = () => {
    if (!top.naturalWidth || !under.naturalWidth) return;
    const alike = Math.abs((top.naturalWidth / top.naturalHeight) * (under.naturalHeight / under.naturalWidth) - 1) < 0.03;
    box.classList.toggle("alone", !alike);
    controls.hidden = !alike;
    if (!alike) top.style.clipPath = "none";
  };
  for (const image of [top, under]) image.addEventListener("load", fit);
  box.addEventListener("pointermove", (event) => {
    if (!event.buttons) return;
    const edge = box.getBoundingClientRect();
    range.value = (100 * (event.clientX - edge.left)) / edge.width;
    cut();
  });
  cut();
  fill(place, box, controls, h("p", { class: "caption" }, label));
}
