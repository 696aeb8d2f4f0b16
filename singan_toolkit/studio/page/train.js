// Training: a picture becomes a bundle, one scale after the other.

import { pictures, post, store, upload, viewOf, whileShown } from "./api.js";
import { attempt, duration, h, labelled, refill } from "./dom.js";
import { entryField } from "./fields.js";
import { chooser, takesDrops } from "./library.js";
import { commandLine } from "./results.js";

// Pictures to train on: first those that nobody made here.
const subjects = () => pictures().sort((one, other) => Boolean(one.origin) - Boolean(other.origin));
const SETTING = /^([a-z_0-9]+)=(\S+)$/;

export function train(root, picture) {
  const { presets } = store;
  const image = h("img", { class: "subject", alt: "" });
  const look = () => {
    image.hidden = !chosen.read();
    if (chosen.read()) Object.assign(image, { src: viewOf(chosen.read(), 900), alt: chosen.read() });
  };
  const chosen = entryField("Picture", "picture", subjects, () => look(), "drop a picture here");
  if (picture) chosen.write(picture);
  const preset = h("select", { name: "preset" }, presets.all.map((one) => h("option", {}, one)));
  preset.value = presets.default;
  const purpose = h("select", { name: "for" }, h("option", { value: "" }, "any task"), presets.for.map((one) => h("option", {}, one)));
  const size = h("input", { type: "number", name: "max_size", min: 12, max: 16384, placeholder: "as the preset has it" });
  const seed = h("input", { type: "number", name: "seed", value: 0, step: 1 });
  const more = h("input", { type: "text", name: "settings", placeholder: "iterations=200", autocomplete: "off", spellcheck: false });
  const take = (files) => attempt(async () => {
    chosen.write(await upload(files[0]));
    look();
  });
  const start = (event) => {
    event.preventDefault();
    attempt(async () => {
      const words = more.value.split(/\s+/).filter(Boolean);
      const wrong = words.find((word) => !SETTING.test(word));
      if (wrong) throw new Error(`${wrong} is no setting: give name=value`);
      const settings = Object.fromEntries(words.map((word) => SETTING.exec(word).slice(1)));
      const max_size = size.value ? Number(size.value) : null;
      await post("tickets", { kind: "train", picture: chosen.read(), preset: preset.value, for: purpose.value, max_size, seed: Number(seed.value), settings });
    });
  };
  const form = h(
    "form",
    { class: "form", onsubmit: start },
    chosen.element,
    chooser("Choose a file", take, "image/*"),
    labelled("Preset", preset, "draft takes a minute or two, fast some minutes, paper hours."),
    labelled("For", purpose, "Some tasks want their networks trained in a way of their own."),
    labelled("Longer side", size, "In pixels, of the finest scale."),
    h("details", {}, h("summary", {}, "More settings"), labelled("Seed", seed, "The same seed trains the same bundle."), labelled("Settings", more, "name=value, separated by spaces; singan-tk train --settings lists them.")),
    h("div", { class: "acts" }, h("button", { class: "primary" }, "Train")),
  );
  const trainings = h("div", { class: "trainings" });
  root.append(h("h1", {}, "Train"), h("p", { class: "lead" }, "One picture becomes a pyramid of small networks, kept as one file: a bundle."), takesDrops(h("div", { class: "split" }, form, h("div", { class: "side" }, h("div", { class: "stage" }, image), trainings)), take));
  look();
  const draw = () => refill(trainings, [...store.tickets.values()].filter((ticket) => ticket.kind === "train").reverse().map(training));
  draw();
  whileShown(trainings, "ticket", draw);
}

function training(ticket) {
  const { progress } = ticket;
  const [step] = ticket.steps;
  const act = (what) => () => attempt(() => post(`tickets/${ticket.number}/${what}`));
  const losses = Object.entries(progress.losses ?? {}).map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value.toFixed(3))));
  const active = ticket.state === "running" || ticket.state === "waiting";
  return h(
    "section",
    { class: "training", "aria-label": ticket.title },
    h("h2", {}, ticket.title, h("span", { class: "state" }, ` ${ticket.state}`)),
    progress.sizes ? h("ol", { class: "scales" }, progress.sizes.map((size, scale) => scaleBox(ticket, size, scale))) : active ? h("p", { class: "quiet" }, "Starting") : null,
    active && progress.done !== undefined ? h("progress", { value: progress.done, max: 1, "aria-label": "Training" }) : null,
    active && progress.seconds_left !== undefined ? h("p", { class: "quiet" }, `${Math.round(100 * progress.done)} % done, ${duration(progress.seconds_left)} left`) : null,
    active && losses.length ? h("dl", { class: "losses" }, losses) : null,
    step.notes.map((note) => h("p", { class: "quiet" }, note)),
    step.sentence ? h("p", { class: "error" }, step.sentence) : null,
    step.command ? commandLine(step.command) : null,
    h(
      "p",
      { class: "acts" },
      active ? h("button", { type: "button", "data-key": `stop-${ticket.number}`, onclick: act("stop") }, "Stop") : null,
      ["stopped", "failed"].includes(ticket.state) ? h("button", { type: "button", "data-key": `go-on-${ticket.number}`, onclick: act("go-on") }, "Go on") : null,
      step.results.map((name) => h("a", { class: "button", href: `#task/generate/bundle/${encodeURIComponent(name)}` }, `Use ${name}`)),
    ),
  );
}

function scaleBox(ticket, [height, width], scale) {
  const { progress } = ticket;
  const finished = (progress.finished ?? []).find((one) => one.scale === scale);
  const iterations = progress.iterations[scale];
  const now = !finished && progress.scale === scale && ticket.state === "running";
  const state = finished || ticket.state === "done" ? "done" : now ? "now" : "";
  const told = finished && iterations ? `RMSE ${finished.reconstruction_rmse.toFixed(3)}` : now ? `${progress.iteration} of ${iterations}` : iterations === 0 ? "patches" : "";
  const picture = ticket.title.replace(/^training on /, "");
  const seen = progress.seen?.[scale] ?? [];
  const look = (what) => h("figure", {}, h("img", { alt: `${what}, scale ${scale}`, src: `/api/trainings/${ticket.number}/${scale}/${what}` }), h("figcaption", {}, what));
  const image = seen.length ? h("div", { class: "looks" }, seen.map(look)) : h("img", { alt: "", src: viewOf(picture, Math.max(height, width)), loading: "lazy" });
  const shown = iterations === 0 && progress.scale !== undefined ? "done" : state;
  return h("li", { class: shown, "aria-current": now ? "step" : null }, image, h("strong", {}, `Scale ${scale}`), h("span", {}, `${width} \u00d7 ${height}`), h("span", {}, told));
}
