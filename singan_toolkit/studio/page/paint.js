// Painting over a picture: a mask, or colours; with brush, eraser and undo, by pointer or keyboard.

import { get, send, viewOf } from "./api.js";
import { attempt, board as boardOf, fill, h, labelled, say } from "./dom.js";

const MASK = "#ff3d71";

// kind: mask, layer or picture, as the server keeps them; `done` is called with the name of what was kept.
export async function painting(place, base, kind, done) {
  const { width, height } = await get("picture", { name: base });
  const under = Object.assign(new Image(), { src: viewOf(base), alt: base, draggable: false });
  const canvas = h("canvas", { width, height, tabIndex: 0, role: "application", "aria-label": "Canvas. Arrow keys move the brush, space puts it down or lifts it, Ctrl+Z undoes." });
  canvas.setAttribute("role", "application");
  const pen = h("span", { class: "pen", "aria-hidden": true });
  const board = boardOf(under, canvas, pen);
  board.classList.add(kind);
  const paint = canvas.getContext("2d");
  const size = h("input", { type: "range", min: 1, max: 100, value: 40, oninput: () => drawPen() });
  const colour = h("input", { type: "color", value: "#3a7d44" });
  const tools = ["brush", "eraser", ...(kind === "mask" ? [] : ["pick"])].map((name) => h("button", { type: "button", class: "small", "data-tool": name, onclick: () => use(name) }, { brush: "Brush", eraser: "Eraser", pick: "Pick colour" }[name]));
  let strokes = [];
  let tool = "brush";
  let at = { x: width / 2, y: height / 2 };
  let down = false;

  // From 0.5 % to 25 % of the longer side, finer where it is small.
  const thickness = () => Math.max(1, Math.max(width, height) * (0.005 + 0.245 * (size.value / 100) ** 2));

  function use(name) {
    tool = name;
    for (const button of tools) button.setAttribute("aria-pressed", String(button.dataset.tool === name));
  }

  function stroke({ tool: with_, colour: ink, size: thick, points }) {
    paint.globalCompositeOperation = with_ === "eraser" ? "destination-out" : "source-over";
    paint.strokeStyle = paint.fillStyle = ink;
    paint.lineWidth = thick;
    paint.lineCap = paint.lineJoin = "round";
    paint.beginPath();
    const [first, ...rest] = points;
    paint.moveTo(first.x, first.y);
    for (const point of rest.length ? rest : [{ x: first.x + 0.01, y: first.y }]) paint.lineTo(point.x, point.y);
    paint.stroke();
  }

  function redraw() {
    paint.clearRect(0, 0, width, height);
    strokes.forEach(stroke);
  }

  function drawPen() {
    const share = (value, of) => `${(100 * value) / of}%`;
    pen.style.left = share(at.x, width);
    pen.style.top = share(at.y, height);
    pen.style.width = share(thickness(), width);
  }

  function begin() {
    if (tool === "pick") return pick();
    strokes.push({ tool, colour: kind === "mask" ? MASK : colour.value, size: thickness(), points: [{ ...at }] });
    stroke(strokes.at(-1));
  }

  function go(to) {
    at = { x: Math.min(Math.max(to.x, 0), width), y: Math.min(Math.max(to.y, 0), height) };
    drawPen();
    if (!down || tool === "pick" || !strokes.length) return;
    const last = strokes.at(-1);
    last.points.push({ ...at });
    stroke({ ...last, points: last.points.slice(-2) });
  }

  function pick() {
    const one = new OffscreenCanvas(1, 1).getContext("2d");
    const [sx, sy] = [under.naturalWidth / width, under.naturalHeight / height];
    one.drawImage(under, Math.min(at.x * sx, under.naturalWidth - 1), Math.min(at.y * sy, under.naturalHeight - 1), 1, 1, 0, 0, 1, 1);
    colour.value = `#${[...one.getImageData(0, 0, 1, 1).data.slice(0, 3)].map((value) => value.toString(16).padStart(2, "0")).join("")}`;
    use("brush");
  }

  const undo = () => {
    strokes.pop();
    redraw();
  };
  const point = (event) => {
    const edge = canvas.getBoundingClientRect();
    return { x: ((event.clientX - edge.left) / edge.width) * width, y: ((event.clientY - edge.top) / edge.height) * height };
  };
  canvas.addEventListener("pointerdown", (event) => {
    event.preventDefault();
    canvas.focus({ preventScroll: true });
    canvas.setPointerCapture(event.pointerId);
    go(point(event));
    begin();
    down = true;
  });
  canvas.addEventListener("pointermove", (event) => go(point(event)));
  for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, () => (down = false));
  canvas.addEventListener("keydown", (event) => {
    const step = Math.max(1, Math.round(Math.max(width, height) / (event.shiftKey ? 20 : 100)));
    const move = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] }[event.key];
    if (move) go({ x: at.x + move[0], y: at.y + move[1] });
    else if (event.key === " ") {
      down = !down && tool !== "pick";
      pen.classList.toggle("down", down);
      if (down || tool === "pick") begin();
    } else if (event.key === "[" || event.key === "]") {
      size.value = Number(size.value) + (event.key === "]" ? 4 : -4);
      drawPen();
    } else if (event.key === "z" && (event.ctrlKey || event.metaKey)) undo();
    else return;
    event.preventDefault();
  });

  function exported() {
    const out = h("canvas", { width, height });
    const context = out.getContext("2d");
    context.drawImage(canvas, 0, 0);
    if (kind === "mask") {
      context.globalCompositeOperation = "source-in";
      context.fillStyle = "#fff";
      context.fillRect(0, 0, width, height);
      context.globalCompositeOperation = "destination-over";
      context.fillStyle = "#000";
      context.fillRect(0, 0, width, height);
    }
    return new Promise((resolve) => out.toBlob(resolve, "image/png"));
  }

  const finish = () => attempt(async () => {
    if (!strokes.length) throw new Error("Nothing is painted yet");
    const { name } = await send("painted", { kind, of: base }, await exported());
    say("Painted: it is filled in");
    done(name);
  });
  const bar = h(
    "div",
    { class: "tools", role: "toolbar", "aria-label": "Painting" },
    tools,
    labelled("Size", size),
    kind === "mask" ? null : labelled("Colour", colour),
    h("button", { type: "button", class: "small", onclick: undo }, "Undo"),
    h("button", { type: "button", class: "small", onclick: () => ((strokes = []), redraw()) }, "Clear"),
    h("button", { type: "button", class: "small primary", onclick: finish }, kind === "mask" ? "Use this mask" : "Use this painting"),
  );
  fill(place, bar, board, h("p", { class: "caption" }, kind === "mask" ? "Mark what is meant. With the keyboard: arrows move, space puts the brush down, [ and ] change its size." : "Rough colours will do: the picture\u2019s own textures take their place."));
  use("brush");
  drawPen();
}
