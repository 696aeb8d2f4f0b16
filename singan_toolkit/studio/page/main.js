// The frame: which page is shown, and the queue beside it.

import { begin, post, store, whileShown } from "./api.js";
import { attempt, duration, fill, h, refill, say } from "./dom.js";
import { library } from "./library.js";
import { results } from "./results.js";
import { task } from "./task.js";
import { train } from "./train.js";

const main = document.querySelector("main");
const nav = document.querySelector("nav");
const queue = document.querySelector(".queue");

function show() {
  const [page, ...rest] = decodeURIComponent(location.hash.slice(1) || "library").split("/");
  const form = store.tasks.find((one) => one.name === rest[0]);
  const given = rest[1] ? { [rest[1]]: rest.slice(2).join("/") } : {};
  const root = h("div", { class: `page ${page}` });
  fill(main, root);
  if (page === "train") train(root, rest.join("/"));
  else if (page === "results") results(root);
  else if (page === "task" && form) task(root, form, given);
  else library(root);
  const current = `#${page}${page === "task" && form ? `/${form.name}` : ""}`;
  for (const link of nav.querySelectorAll("a")) {
    if (link.hash === current) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
    if (link.hash === current) link.scrollIntoView({ block: "nearest", inline: "center" });
  }
  document.title = `${root.querySelector("h1")?.textContent ?? "Studio"} \u2013 SinGAN studio`;
  window.scrollTo(0, 0);
}

function drawNav() {
  const link = (page, text) => h("a", { href: `#${page}` }, text);
  fill(
    nav,
    link("library", "Library"),
    link("train", "Train"),
    link("results", "Results"),
    h("h2", {}, "Tasks"),
    store.tasks.map((form) => link(`task/${form.name}`, form.title)),
  );
}

function drawQueue() {
  const tickets = [...store.tickets.values()];
  const open = tickets.filter((ticket) => ["waiting", "running", "stopping"].includes(ticket.state));
  const last = tickets.filter((ticket) => !open.includes(ticket)).slice(-1);
  refill(queue, h("h2", {}, open.length ? `Queue, ${open.length} at work` : "Queue"), open.length || last.length ? [...last, ...open].map(line) : h("p", { class: "quiet" }, "Nothing to do"));
}

function line(ticket) {
  const done = ticket.steps.filter((step) => step.state === "done").length;
  const share = ticket.kind === "train" ? (ticket.progress.done ?? 0) : done / ticket.steps.length;
  const failed = ticket.steps.find((step) => step.state === "failed");
  const left = ticket.state === "running" && ticket.progress.seconds_left ? `, ${duration(ticket.progress.seconds_left)} left` : "";
  const stoppable = ticket.state === "waiting" || ticket.state === "running";
  const act = (what) => () => attempt(() => post(`tickets/${ticket.number}/${what}`));
  return h(
    "div",
    { class: `ticket ${ticket.state}` },
    h("p", {}, ticket.title, h("span", { class: "state" }, ` ${ticket.state}${left}`)),
    h("progress", { value: ticket.state === "done" ? 1 : share, max: 1, "aria-label": ticket.title }),
    ticket.state === "failed" && failed ? h("p", { class: "error" }, failed.sentence) : null,
    stoppable ? h("button", { type: "button", class: "small", "data-key": `stop-${ticket.number}`, onclick: act("stop") }, "Stop") : null,
    ticket.state === "stopped" ? h("button", { type: "button", class: "small", "data-key": `go-on-${ticket.number}`, onclick: act("go-on") }, "Go on") : null,
  );
}

// The token of the address is in a cookie by now, and need not stay to be seen.
if (location.search) history.replaceState(null, "", location.pathname + location.hash);
for (const name of ["dragover", "drop"]) window.addEventListener(name, (event) => event.preventDefault());
window.addEventListener("drop", (event) => event.target.closest(".takes") || say("Drop a file on a field, or on the library"));

attempt(async () => {
  await begin();
  drawNav();
  drawQueue();
  whileShown(queue, "ticket", drawQueue);
  window.addEventListener("hashchange", show);
  show();
});
