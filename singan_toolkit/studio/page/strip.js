// What there is to choose from: a thumbnail for each scale or seed, filled in as it is done.

import { post, previewOf, store, whileShown } from "./api.js";
import { attempt, h, refill } from "./dom.js";

// Shows a ticket's steps; `chosen` is called with the ticket and the place of the one that people click.
export function strip(place, number, chosen) {
  let selected = -1;
  const choose = (index) => {
    selected = index;
    draw();
    chosen(store.tickets.get(number), index);
  };
  const draw = () => {
    const ticket = store.tickets.get(number);
    if (!ticket) return;
    const shown = ticket.steps.map((step, index) => ({ step, index })).filter(({ step }) => step.scale !== "auto");
    refill(
      place,
      h("h2", {}, ticket.kind === "scales" ? "Scales" : "Seeds"),
      h("p", { class: "quiet" }, ticket.kind === "scales" ? "Coarse ones redraw freely, fine ones keep what you gave." : "The same task from other seeds."),
      h("ol", { class: "strip" }, shown.map(({ step, index }) => h("li", {}, thumbnail(ticket, step, index)))),
      reason(ticket),
    );
  };
  const thumbnail = (ticket, step, index) => {
    const automatic = step.scale !== null && ticket.chosen?.scale === step.scale;
    const image = step.shown ? h("img", { src: previewOf(ticket, index), alt: step.label }) : h("span", { class: `blank ${step.state}` }, step.state === "failed" ? "failed" : step.state === "running" ? "drawing" : "");
    return h(
      "button",
      { type: "button", "data-key": `${number}-${index}`, class: automatic ? "auto" : "", disabled: !step.shown, title: step.sentence || step.label, "aria-pressed": String(index === selected), onclick: () => choose(index) },
      image,
      h("span", {}, step.label),
      automatic ? h("span", { class: "badge" }, "auto") : null,
    );
  };
  draw();
  whileShown(place, "ticket", (ticket) => ticket.number === number && draw());
}

function reason(ticket) {
  if (ticket.chosen) return h("p", { class: "reason" }, h("span", { class: "badge" }, "auto"), ` ${ticket.chosen.why}`);
  const failed = ticket.steps.find((step) => step.state === "failed");
  if (failed) return h("p", { class: "error" }, failed.sentence);
  const asked = ticket.steps.some((step) => step.scale === "auto");
  return asked && ticket.state !== "stopped" ? h("p", { class: "quiet" }, "auto is choosing") : null;
}

export const keep = (ticket, index) => attempt(() => post(`tickets/${ticket.number}/${index}/keep`));
