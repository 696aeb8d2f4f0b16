// What was made: each with its command line, to download, or to use as the input of a task.

import { fileOf, imageOf, named, store, whileShown } from "./api.js";
import { copy, fill, h, labelled } from "./dom.js";

export function results(root) {
  const gallery = h("div", { class: "results-list" });
  root.append(h("h1", {}, "Results"), h("p", { class: "lead" }, "Each with the command line that makes it again, to the byte."), gallery);
  const draw = () => {
    const made = store.entries.filter((entry) => entry.origin || entry.kind === "clip");
    fill(gallery, made.length ? made.map((entry) => resultCard(entry.name)) : h("p", { class: "quiet" }, "Nothing yet. Choose a task, and run it."));
  };
  draw();
  whileShown(gallery, "library", draw);
}

export function commandLine(command) {
  return h(
    "div",
    { class: "command" },
    h("code", { tabIndex: 0, "aria-label": "Command line" }, command),
    h("button", { type: "button", class: "small", "data-key": command, onclick: () => copy(command) }, "Copy"),
  );
}

function commandOf(name) {
  const steps = [...store.tickets.values()].flatMap((ticket) => ticket.steps);
  return steps.find((step) => step.results.includes(name))?.command ?? named(name)?.command ?? "";
}

export function resultCard(name) {
  const job = named(name)?.origin;
  const command = commandOf(name);
  const about = job ? `${job.task}${job.scale === null ? "" : `, scale ${job.scale}`}, seed ${job.seed}` : "";
  return h(
    "article",
    { class: "result", "data-name": name },
    h("a", { href: fileOf(name, true), target: "_blank", rel: "noopener" }, imageOf(name, 900)),
    h(
      "div",
      {},
      h("h3", {}, name),
      about ? h("p", { class: "quiet" }, about) : null,
      command ? commandLine(command) : null,
      h("p", { class: "acts" }, h("a", { class: "button small", href: fileOf(name), download: "" }, "Download"), named(name)?.kind === "clip" ? null : useIn(name)),
    ),
  );
}

function useIn(name) {
  const choices = store.tasks.flatMap((form) =>
    form.fields.filter((field) => ["picture", "painting"].includes(field.kind)).map((field) => h("option", { value: `task/${form.name}/${field.name}/${encodeURIComponent(name)}` }, `${form.title}: ${field.label.toLowerCase()}`)),
  );
  const select = h("select", { onchange: () => (location.hash = select.value) }, h("option", { value: "" }, "choose"), h("option", { value: `train/${encodeURIComponent(name)}` }, "Train: picture"), choices);
  const field = labelled("Use in", select);
  field.classList.add("inline");
  return field;
}
