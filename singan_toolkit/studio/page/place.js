// Placing a paste on a picture: drag it, turn the wheel, pull its handles, or use the keyboard.

import { get, viewOf } from "./api.js";
import { board as boardOf, fill, h } from "./dom.js";

const NAMES = { center: [50, 50], top: [50, 0], bottom: [50, 100], left: [0, 50], right: [100, 50], "top-left": [0, 0], "top-right": [100, 0], "bottom-left": [0, 100], "bottom-right": [100, 100] };

// values: {at, size, rotate, flip} as the task's options have them, or null; `moved` is called with new ones.
export async function placing(place, base, paste, mask, values, moved) {
  const size = await get("picture", { name: base });
  const object = await loaded(`/api/cutout?${new URLSearchParams(mask ? { name: paste, mask } : { name: paste })}`, () => get("cutout", { name: paste, mask }));
  const own = { w: object.naturalWidth, h: object.naturalHeight };
  const box = h("div", { class: "paste", tabIndex: 0, role: "application", "aria-label": "The paste. Arrow keys move it, plus and minus scale it, R turns it." });
  const scaler = h("span", { class: "handle scale", title: "Scale" });
  const turner = h("span", { class: "handle turn", title: "Turn" });
  const board = boardOf(h("img", { src: viewOf(base), alt: base, draggable: false }), box);
  object.alt = "";
  object.draggable = false;
  box.append(object, scaler, turner);
  fill(place, board, h("p", { class: "caption" }, "Drag the paste; pull the corner or turn the wheel to scale it, the round handle to turn it. With the keyboard: arrows, plus and minus, R."));
  let state = stateOf(values);

  function stateOf({ at, size: extent, rotate, flip }) {
    const wanted = extentOf(extent || "", own, size);
    const angle = Number(rotate) || 0;
    const outer = outerOf(wanted, angle);
    const corner = /^(-?\d+),(-?\d+)$/.exec(at || "");
    const [px, py] = NAMES[at || "center"] ?? /^([\d.]+)%,([\d.]+)%$/.exec(at || "")?.slice(1).map(Number) ?? [50, 50];
    const x = corner ? Number(corner[1]) : Math.round((px / 100) * (size.width - outer.w));
    const y = corner ? Number(corner[2]) : Math.round((py / 100) * (size.height - outer.h));
    return { cx: x + outer.w / 2, cy: y + outer.h / 2, w: wanted.w, h: wanted.h, angle, flip: flip || "" };
  }

  function draw() {
    const share = (value, of) => `${(100 * value) / of}%`;
    box.style.width = share(state.w, size.width);
    box.style.height = share(state.h, size.height);
    box.style.left = share(state.cx - state.w / 2, size.width);
    box.style.top = share(state.cy - state.h / 2, size.height);
    box.style.transform = `rotate(${-state.angle}deg)`;
    const [x, y] = [["horizontal", "both"].includes(state.flip) ? -1 : 1, ["vertical", "both"].includes(state.flip) ? -1 : 1];
    object.style.transform = `scale(${x}, ${y})`;
  }

  function change(more, told = true) {
    state = { ...state, ...more };
    state.cx = Math.min(Math.max(state.cx, 0), size.width);
    state.cy = Math.min(Math.max(state.cy, 0), size.height);
    draw();
    if (!told) return;
    const [w, height] = [Math.max(1, Math.round(state.w)), Math.max(1, Math.round(state.h))];
    const outer = outerOf({ w, h: height }, state.angle);
    const at = `${Math.round(state.cx - outer.w / 2)},${Math.round(state.cy - outer.h / 2)}`;
    moved({ at, size: `${w}x${height}`, rotate: state.angle ? Math.round(state.angle * 10) / 10 : null, flip: state.flip || null });
  }

  const scaled = (factor) => {
    const most = (2 * Math.max(size.width, size.height)) / Math.max(state.w, state.h);
    const f = Math.min(Math.max(factor, 3 / Math.min(state.w, state.h)), most);
    change({ w: state.w * f, h: state.h * f });
  };
  const turned = (angle) => change({ angle: ((((angle + 180) % 360) + 360) % 360) - 180 });

  const follow = (element, begin) =>
    element.addEventListener("pointerdown", (event) => {
      event.preventDefault();
      event.stopPropagation();
      box.focus({ preventScroll: true });
      element.setPointerCapture(event.pointerId);
      const edge = board.getBoundingClientRect();
      const point = (e) => ({ x: ((e.clientX - edge.left) / edge.width) * size.width, y: ((e.clientY - edge.top) / edge.height) * size.height });
      const move = begin(point(event));
      const listener = (e) => move(point(e));
      element.addEventListener("pointermove", listener);
      element.addEventListener("pointerup", () => element.removeEventListener("pointermove", listener), { once: true });
    });

  follow(box, (from) => {
    const before = state;
    return (to) => change({ cx: before.cx + to.x - from.x, cy: before.cy + to.y - from.y });
  });
  follow(scaler, (from) => {
    const before = state;
    const far = (p) => Math.hypot(p.x - before.cx, p.y - before.cy);
    return (to) => ((state = { ...state, w: before.w, h: before.h }), scaled(far(to) / far(from)));
  });
  follow(turner, () => (to) => turned((Math.atan2(state.cx - to.x, state.cy - to.y) * 180) / Math.PI));
  box.addEventListener("wheel", (event) => {
    event.preventDefault();
    scaled(event.deltaY < 0 ? 1.05 : 1 / 1.05);
  }, { passive: false });
  box.addEventListener("keydown", (event) => {
    const step = event.shiftKey ? 10 : 1;
    const keys = {
      ArrowLeft: () => change({ cx: state.cx - step }),
      ArrowRight: () => change({ cx: state.cx + step }),
      ArrowUp: () => change({ cy: state.cy - step }),
      ArrowDown: () => change({ cy: state.cy + step }),
      "+": () => scaled(1.05),
      "=": () => scaled(1.05),
      "-": () => scaled(1 / 1.05),
      r: () => turned(state.angle + 5),
      R: () => turned(state.angle - 5),
    };
    if (!keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
  });
  draw();
  return { write: (given) => change(stateOf(given), false), flip: (flip) => change({ flip }) };
}

// The box that holds a turned one.
function outerOf({ w, h: height }, angle) {
  const [cos, sin] = [Math.abs(Math.cos((angle * Math.PI) / 180)), Math.abs(Math.sin((angle * Math.PI) / 180))];
  return { w: Math.round(w * cos + height * sin), h: Math.round(w * sin + height * cos) };
}

function extentOf(text, own, size) {
  const exact = /^(\d+)x(\d+)$/.exec(text);
  if (exact) return { w: Number(exact[1]), h: Number(exact[2]) };
  const shorter = Math.min(size.width, size.height);
  const longest = Math.max(own.w, own.h);
  const pixels = /^(\d+)(?:px)?$/.exec(text);
  const percent = /^([\d.]+)%$/.exec(text);
  const fits = own.w <= size.width && own.h <= size.height;
  const share = pixels ? Number(pixels[1]) / longest : percent ? ((Number(percent[1]) / 100) * shorter) / longest : fits ? 1 : shorter / 3 / longest;
  return { w: Math.max(1, Math.round(own.w * share)), h: Math.max(1, Math.round(own.h * share)) };
}

async function loaded(src, why) {
  const image = Object.assign(new Image(), { src });
  try {
    await image.decode();
  } catch {
    await why(); // which throws what the server says
  }
  return image;
}
