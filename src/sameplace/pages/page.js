"use strict";
const map = document.querySelector(".plan > svg"); // none where positions are not known
const dialog = document.querySelector("dialog");
const cards = [...document.querySelectorAll(".card")];
const answers = new Map([...document.querySelectorAll(".plan .answer")].map((answer) => [answer.dataset.card, answer]));
const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
const whole = map ? map.dataset.whole.split(" ").map(Number) : null;
const PAD = 56;
let chosen = null;
let view = { x: 0, y: 0, metres: 1 };
let flight = 0;
let travelled = 0;

function draw() {
  const { clientWidth: width, clientHeight: height } = map;
  const { x, y, metres } = view;
  const left = x - (width / 2) * metres, top = y - (height / 2) * metres;
  map.setAttribute("viewBox", `${left} ${top} ${width * metres} ${height * metres}`);
  for (const pin of map.querySelectorAll(".pin")) pin.setAttribute("transform", `translate(${pin.dataset.at}) scale(${metres})`);
  const step = round(90 * metres), scale = document.querySelector(".scale");
  let lines = "";
  for (let at = Math.ceil(left / step) * step; at < left + width * metres; at += step) lines += `M${at} ${top}v${height * metres}`;
  for (let at = Math.ceil(top / step) * step; at < top + height * metres; at += step) lines += `M${left} ${at}h${width * metres}`;
  map.querySelector(".grid").setAttribute("d", lines);
  scale.style.width = `${step / metres}px`;
  scale.firstElementChild.textContent = step >= 1000 ? `${step / 1000} km` : step >= 1 ? `${step} m` : `${Math.round(step * 100)} cm`;
}

function round(metres) {
  const power = 10 ** Math.floor(Math.log10(metres));
  return (metres / power < 2 ? 1 : metres / power < 5 ? 2 : 5) * power;
}

function around([left, top, width, height], pad) {
  const room = Math.max(map.clientWidth - 2 * pad, 60), depth = Math.max(map.clientHeight - 2 * pad, 60);
  return { x: left + width / 2, y: top + height / 2, metres: Math.max(width / room, height / depth, 0.005) };
}

function fly(to) {
  cancelAnimationFrame(flight);
  if (still) { view = to; draw(); return; }
  const from = view, started = performance.now();
  const step = (now) => {
    const part = Math.min((now - started) / 380, 1), eased = 1 - (1 - part) ** 3;
    view = { x: from.x + (to.x - from.x) * eased, y: from.y + (to.y - from.y) * eased, metres: from.metres * (to.metres / from.metres) ** eased };
    draw();
    if (part < 1) flight = requestAnimationFrame(step);
  };
  flight = requestAnimationFrame(step);
}

function zoom(factor, clientX, clientY) {
  cancelAnimationFrame(flight);
  const box = map.getBoundingClientRect();
  const across = (clientX ?? box.left + box.width / 2) - box.left - box.width / 2;
  const down = (clientY ?? box.top + box.height / 2) - box.top - box.height / 2;
  const metres = Math.min(Math.max(view.metres * factor, 0.002), 60000);
  view = { x: view.x + across * (view.metres - metres), y: view.y + down * (view.metres - metres), metres };
  draw();
}

function choose(card, { move = true, scroll = false } = {}) {
  for (const other of cards) other.classList.toggle("chosen", other === card);
  for (const [name, answer] of answers) answer.classList.toggle("chosen", name === card.id);
  chosen = answers.get(card.id) ?? null;
  if (chosen) {
    chosen.parentNode.append(chosen);
    document.querySelector(".compass svg").style.transform = `rotate(${chosen.dataset.north}deg)`;
    if (move) fly(around(chosen.dataset.box.split(" ").map(Number), PAD));
  }
  if (scroll) card.scrollIntoView({ behavior: still ? "auto" : "smooth", block: "nearest" });
}

function step(by) {
  const shown = cards.filter((card) => !card.hidden);
  const now = shown.findIndex((card) => card.classList.contains("chosen"));
  const next = shown[now < 0 ? 0 : Math.min(Math.max(now + by, 0), shown.length - 1)];
  if (!next) return;
  choose(next, { scroll: true });
  next.querySelector("h2 button")?.focus({ preventScroll: true });
}

function compare(photos) {
  const room = dialog.querySelector(".pair");
  room.replaceChildren(...photos.map((photo) => {
    const figure = document.createElement("figure"), caption = document.createElement("figcaption");
    const picture = photo.querySelector("img")?.cloneNode() ?? photo.querySelector(".missing").cloneNode(true);
    caption.textContent = photo.dataset.caption;
    figure.append(picture, caption);
    return figure;
  }));
  dialog.showModal();
}

const actions = {
  closer: () => zoom(1 / 1.6),
  farther: () => zoom(1.6),
  answer: () => chosen && fly(around(chosen.dataset.box.split(" ").map(Number), PAD)),
  everything: () => fly(around(whole, 40)),
};
const keys = { "+": "closer", "=": "closer", "-": "farther", Enter: "answer", 0: "everything" };
const steps = { ArrowLeft: [-60, 0], ArrowRight: [60, 0], ArrowUp: [0, -60], ArrowDown: [0, 60] };

function listen() {
  document.querySelectorAll("[data-do]").forEach((button) => button.addEventListener("click", () => actions[button.dataset.do]()));
  map.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (steps[event.key]) {
      cancelAnimationFrame(flight);
      view = { ...view, x: view.x + steps[event.key][0] * view.metres, y: view.y + steps[event.key][1] * view.metres };
      draw();
    } else if (keys[event.key]) actions[keys[event.key]]();
    else return;
    event.preventDefault();
  });
  map.addEventListener("wheel", (event) => { event.preventDefault(); zoom(Math.exp(event.deltaY * 0.0016), event.clientX, event.clientY); }, { passive: false });
  map.addEventListener("dblclick", (event) => zoom(1 / 1.8, event.clientX, event.clientY));
  const fingers = new Map();
  map.addEventListener("pointerdown", (event) => { fingers.set(event.pointerId, event); travelled = 0; cancelAnimationFrame(flight); });
  window.addEventListener("pointermove", (event) => {
    const before = fingers.get(event.pointerId);
    if (!before) return;
    const others = [...fingers.values()].filter((finger) => finger.pointerId !== event.pointerId);
    const moved = Math.hypot(event.clientX - before.clientX, event.clientY - before.clientY);
    travelled += moved;
    fingers.set(event.pointerId, event);
    if (others.length === 0) {
      view = { ...view, x: view.x - (event.clientX - before.clientX) * view.metres, y: view.y - (event.clientY - before.clientY) * view.metres };
      draw();
    } else {
      const apart = (finger) => Math.max(Math.hypot(finger.clientX - others[0].clientX, finger.clientY - others[0].clientY), 1);
      zoom(apart(before) / apart(event), (event.clientX + others[0].clientX) / 2, (event.clientY + others[0].clientY) / 2);
    }
  });
  for (const ending of ["pointerup", "pointercancel"]) window.addEventListener(ending, (event) => fingers.delete(event.pointerId));
  for (const [name, answer] of answers) {
    answer.addEventListener("click", () => travelled < 6 && choose(document.getElementById(name), { move: false, scroll: true }));
  }
  new ResizeObserver(draw).observe(map);
}

for (const card of cards) {
  card.querySelector("h2 button")?.addEventListener("click", () => choose(card));
  card.addEventListener("click", (event) => { if (!event.target.closest("a, button") && !card.classList.contains("chosen")) choose(card); });
}
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || dialog?.open) return;
  if (event.key === "j" || event.key === "k") step(event.key === "j" ? 1 : -1);
});
dialog?.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
if (map) {
  listen();
  view = around(whole, 40);
  const first = cards.find((card) => answers.has(card.id));
  if (first) choose(first, { move: cards.length === 1 });
  draw();
}
