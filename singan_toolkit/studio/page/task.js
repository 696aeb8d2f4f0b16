// A page for a task, made from what it declares.

import { bundles, fileOf, get, named, post, previewOf, store, viewOf, whileShown } from "./api.js";
import { compare } from "./compare.js";
import { attempt, board as boardOf, fill, h, labelled, say } from "./dom.js";
import { entryField, fieldOf } from "./fields.js";
import { painting } from "./paint.js";
import { placing } from "./place.js";
import { commandLine, resultCard } from "./results.js";
import { keep, strip } from "./strip.js";

const PLACED = ["position", "extent", "angle", "mirror"];

export function task(root, form, given) {
  const stage = h("div", { class: "stage", "aria-live": "off" });
  const choices = h("section", { class: "choices" });
  const made = h("section", { class: "made", "aria-label": "Results of this page" });
  const fields = new Map();
  const mine = new Set();
  const placed = form.fields.filter((field) => PLACED.includes(field.kind));
  let board = null;
  let turns = 0; // of what the stage shows: what comes late is not shown

  const bundle = entryField("Bundle", "bundle", bundles, () => changed(null), "train one first");
  if (given.bundle) bundle.write(given.bundle);
  const read = (name) => fields.get(name)?.read() ?? null;
  // The file that the first of these options holds, or the bundle, which stands for its training picture.
  const first = (names) => names.map(read).find(Boolean) ?? bundle.read();
  const base = () => {
    const one = form.fields.find((field) => ["mask", "painting"].includes(field.kind) || PLACED.includes(field.kind));
    const picture = form.fields.find((field) => field.kind === "picture" && !placed.some((other) => other.paste === field.name));
    return first(one ? one.of.filter((name) => !placed.some((other) => other.paste === name)) : picture ? [picture.name] : []);
  };

  // What a result is compared with: an edit or a painting that was given whole, or the picture.
  const before = () => {
    const whole = form.fields.find((field) => field.kind === "painting" && read(field.name) && (field.keeps === "picture" || named(read(field.name))));
    return whole ? read(whole.name) : base();
  };

  function changed(field) {
    if (field && PLACED.includes(field.kind) && board) return board.write(placement());
    if (!field || ["picture", "mask", "painting"].includes(field.kind)) return look();
    return undefined;
  }

  const placement = () => Object.fromEntries(placed.map((field) => [{ position: "at", extent: "size", angle: "rotate", mirror: "flip" }[field.kind], read(field.name)]));
  const placeFrom = (values) => {
    for (const field of placed) fields.get(field.name).write(values[{ position: "at", extent: "size", angle: "rotate", mirror: "flip" }[field.kind]]);
  };

  // What the stage shows while nothing is painted or compared: the paste on its picture, or the picture.
  const look = () => attempt(async () => {
    const turn = ++turns;
    board = null;
    const paste = placed.length ? read(placed[0].paste) : null;
    if (!bundle.read() && !base()) return fill(stage, h("p", { class: "quiet" }, "Train a bundle first: every task redraws in the manner of one picture."), h("a", { class: "button", href: "#train" }, "Train"));
    if (paste) {
      const mask = form.fields.find((field) => field.kind === "mask" && field.of.includes(placed[0].paste));
      const holder = h("div", { class: "holder" });
      try {
        const made = await placing(holder, first(placed[0].of), paste, mask ? read(mask.name) : null, placement(), placeFrom);
        if (turn === turns) board = made;
      } catch (error) {
        fill(holder, boardOf(h("img", { src: viewOf(paste), alt: paste })), h("p", { class: "error" }, error.message));
      }
      return turn === turns ? fill(stage, holder) : undefined;
    }
    const painted = form.fields.find((field) => field.kind === "painting" && read(field.name));
    const shown = painted ? read(painted.name) : base();
    return fill(stage, boardOf(h("img", { src: viewOf(shown), alt: shown })), h("p", { class: "caption" }, named(shown)?.kind === "bundle" ? `The training picture of ${shown}` : shown.split("/").at(-1)));
  });

  const paint = (field) => attempt(async () => {
    const turn = ++turns;
    board = null;
    const over = first(field.of);
    if (!over) throw new Error("Choose a bundle or a picture first: that is painted over");
    const kind = field.kind === "mask" ? "mask" : field.keeps;
    const holder = h("div", { class: "holder" });
    await painting(holder, over, kind, (name) => {
      fields.get(field.name).write(name);
      look();
    });
    if (turn === turns) fill(stage, holder);
    stage.scrollIntoView({ block: "nearest" });
  });

  for (const field of form.fields) fields.set(field.name, fieldOf(field, () => changed(field), paint));
  for (const [name, value] of Object.entries(given)) fields.get(name)?.write(value);

  const scale = h("select", { name: "scale" });
  const seed = h("input", { type: "number", name: "seed", value: 0, step: 1 });
  const number = h("input", { type: "number", name: "variants", value: 8, min: 1, max: 24 });
  const scales = () => attempt(async () => {
    if (form.lowest === null || !bundle.read()) return;
    const about = await get("bundle", { name: bundle.read() });
    const before = scale.value;
    const usual = about.defaults[form.name];
    const low = Math.min(form.lowest, about.scales - 1);
    const each = Array.from({ length: about.scales - low }, (_, n) => low + n);
    fill(scale, h("option", { value: "" }, `usual (${usual})`), h("option", { value: "auto" }, "auto"), each.map((n) => h("option", { value: n }, n)));
    scale.value = before;
  });

  async function ask(kind, more = {}) {
    const options = Object.fromEntries([...fields].map(([name, field]) => [name, field.read()]).filter(([, value]) => value !== null));
    const wanted = scale.value === "" ? null : scale.value === "auto" ? "auto" : Number(scale.value);
    const about = { kind, task: form.name, bundle: bundle.read(), seed: Number(seed.value), options, ...more };
    if (kind !== "scales") about.scale = wanted;
    const ticket = await post("tickets", about);
    store.tickets.set(ticket.number, store.tickets.get(ticket.number) ?? ticket);
    mine.add(ticket.number);
    return store.tickets.get(ticket.number);
  }

  const run = (event) => {
    event.preventDefault();
    attempt(async () => {
      await ask("run");
      say("In the queue");
      draw();
    });
  };
  const offer = (kind) => () => attempt(async () => {
    const ticket = await ask(kind, kind === "seeds" ? { number: Number(number.value) } : {});
    strip(choices, ticket.number, chosen);
    choices.scrollIntoView({ block: "nearest" });
  });

  function chosen(ticket, index) {
    turns++;
    board = null;
    const step = ticket.steps[index];
    const source = previewOf(ticket, index);
    if (form.makes === "clips") fill(stage, boardOf(h("img", { src: source, alt: step.label })));
    else compare(stage, viewOf(before()), source, step.label);
    const taken = h("button", { type: "button", class: "primary", onclick: () => attempt(async () => {
      const kept = await keep(ticket, index);
      if (!kept) return;
      if (step.scale !== null) scale.value = String(step.scale);
      else seed.value = step.seed;
      mine.add(ticket.number);
      say(`Kept as ${kept.name}`);
    }) }, step.scale !== null ? `Keep scale ${step.scale}` : `Keep seed ${step.seed}`);
    stage.append(h("div", { class: "acts" }, taken, h("button", { type: "button", onclick: look }, "Back to the input")), commandLine(step.command));
    stage.scrollIntoView({ block: "nearest", behavior: "smooth" });
  }

  const shown = new Set();
  function draw() {
    const tickets = [...mine].map((one) => store.tickets.get(one)).reverse();
    const names = tickets.flatMap((ticket) => ticket.steps.flatMap((step) => step.results)).filter(named);
    const notes = tickets.filter((ticket) => ticket.kind === "run").flatMap((ticket) => ticket.steps.flatMap((step) => [...step.notes.map((note) => h("p", { class: "quiet" }, note)), step.sentence ? h("p", { class: "error" }, step.sentence) : null]));
    fill(made, names.length || notes.length ? h("h2", {}, "Results") : null, notes, names.map(resultCard));
    const fresh = tickets.find((ticket) => ticket.kind === "run" && ticket.state === "done" && !shown.has(ticket.number));
    if (!fresh || !named(fresh.steps[0].results[0])) return;
    shown.add(fresh.number);
    const [name] = fresh.steps[0].results;
    turns++;
    board = null;
    if (named(name).kind === "clip") fill(stage, boardOf(h("img", { src: fileOf(name, true), alt: name })), h("p", { class: "caption" }, name));
    else compare(stage, viewOf(before()), viewOf(name), name);
    stage.append(h("div", { class: "acts" }, h("button", { type: "button", onclick: look }, "Back to the input")));
  }

  const own = (advanced) => form.fields.filter((field) => advanced === (PLACED.includes(field.kind) || (!field.required && !["picture", "mask", "painting", "slider"].includes(field.kind)))).map((field) => fields.get(field.name).element);
  const more = own(true);
  root.append(
    h("h1", {}, form.title),
    h("p", { class: "lead" }, `${form.summary}.`),
    h(
      "div",
      { class: "split" },
      h(
        "form",
        { class: "form", onsubmit: run },
        bundle.element,
        own(false),
        more.length ? h("details", { open: more.length < 4 }, h("summary", {}, placed.length ? "Place and more" : "More"), more) : null,
        form.lowest === null ? null : labelled("Scale", scale, "Where your picture enters: coarse scales redraw most."),
        labelled("Seed", seed, "The same seed gives the same picture."),
        h("div", { class: "acts" }, h("button", { class: "primary" }, "Run"), form.lowest === null ? [h("button", { type: "button", onclick: offer("seeds") }, "Show seeds"), labelled("How many", number)] : h("button", { type: "button", onclick: offer("scales") }, "Show all scales")),
      ),
      h("div", { class: "side" }, choices, stage, made),
    ),
    h("details", { class: "about" }, h("summary", {}, "About this task"), form.help.map((part) => h("p", {}, part))),
  );
  scales();
  look();
  root.querySelector('[name="bundle"]').addEventListener("change", scales);
  whileShown(made, "ticket", (ticket) => mine.has(ticket.number) && draw());
  whileShown(made, "library", draw);
}
