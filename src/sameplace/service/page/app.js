// The page: a photo in, the place out, and a look around the atlas.
import { ask, locate, pictureAddress } from "./api.js";
import { AtlasMap } from "./map.js";

const part = (id) => document.getElementById(id);
const VERDICTS = new Map([[true, ["yes", "Known place"]], [false, ["no", "Not in this atlas"]], [null, ["unsure", "Cannot tell"]]]);
const PAGE = 60;
const state = { atlas: null, answer: null, going: null, listed: 0, generation: null, photo: null };

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children.filter((child) => child !== null));
  return made;
}

function say(words) { part("status").textContent = words; }

function metres(distance) {
  if (distance >= 1000) return `${(distance / 1000).toFixed(1)} km`;
  return distance < 9.95 ? `${distance.toFixed(1)} m` : `${Math.round(distance)} m`;
}

function position(place) {
  return place.lat === null ? `x ${place.x_m.toFixed(2)} m, y ${place.y_m.toFixed(2)} m` : `${place.lat.toFixed(6)}, ${place.lon.toFixed(6)}`;
}

function photos(count) { return `${count.toLocaleString("en")} photo${count === 1 ? "" : "s"}`; }

function capital(words) { return words[0].toUpperCase() + words.slice(1); }

function missing(words) { return element("span", { className: "missing", textContent: words }); }

function picture(id, size, alt) {
  const image = element("img", { alt, loading: "lazy", decoding: "async", width: 4, height: 3 });
  image.addEventListener("error", () => image.replaceWith(missing("The picture is no longer there")));
  pictureAddress(id, size).then((address) => { image.src = address; }, () => image.replaceWith(missing("The picture cannot be shown")));
  return image;
}

function preview(file, alt) {
  const image = element("img", { alt, src: URL.createObjectURL(file) });
  image.addEventListener("error", () => image.replaceWith(missing("This browser cannot show it")));
  return image;
}

const map = new AtlasMap(part("map"), part("pins"), { ask, status: say, chosen: (point) => { openTab("browse"); choose(point); } });

// Tabs

function openTab(name) {
  for (const tab of ["locate", "browse"]) {
    const open = tab === name, button = part(`tab-${tab}`);
    button.setAttribute("aria-selected", open);
    button.tabIndex = open ? 0 : -1;
    part(tab).hidden = !open;
  }
  if (name === "browse") { if (!state.listed) list(); if (state.photo) showChosen(); } else if (state.answer) showAnswerOnMap();
  else map.show([], null);
  legend();
}

function legend() {
  const shown = state.answer !== null && !part("locate").hidden;
  for (const line of part("legend").querySelectorAll(".of-match, .of-here")) line.hidden = !shown;
  for (const line of part("legend").querySelectorAll(".of-weak, .of-strong")) line.hidden = map.cover === null;
  document.querySelector('[data-do="answer"]').hidden = !shown;
}

// Locating

async function look(file) {
  if (!state.atlas) return;
  openTab("locate");
  state.going?.abort();
  const going = state.going = new AbortController();
  part("drop").classList.add("compact");
  part("drop").querySelector("h1").textContent = "Another photo?";
  const image = preview(file, "The photo you asked about");
  const lines = ["", " short", ""].map((kind) => element("div", { className: `line${kind}` }));
  part("answer").replaceChildren(element("article", { className: "card asked waiting", ariaBusy: "true" },
    image, element("div", {}, element("p", { className: "file", textContent: file.name }), ...lines)));
  state.answer = null;
  map.show([], null);
  legend();
  say("Looking for the place of this photo.");
  try {
    if (file.size > state.atlas.upload_bytes) throw new Error(`Photos of up to ${Math.round(state.atlas.upload_bytes / 1e6)} MB are taken, and this one has ${Math.round(file.size / 1e6)} MB; choose a smaller one.`);
    const answer = await locate(file, { signal: going.signal });
    state.answer = { ...answer, file };
    showAnswer();
  } catch (error) {
    if (error.name === "AbortError") return;
    part("answer").replaceChildren(element("article", { className: "card asked error" }, preview(file, "The photo you asked about"),
      element("div", {}, element("p", { className: "file", textContent: file.name }), element("p", { className: "where", textContent: "No answer" }), element("p", { className: "within", textContent: error.message }))));
    say(`No answer: ${error.message}`);
  }
}

function within(answer) {
  if (answer.known === false) return "No photo of the atlas shows this place convincingly; this is the best guess.";
  return answer.calibrated ? `${Math.round(answer.level * 100)} % of such answers lie within ${metres(answer.radius_m)}.` : `Within about ${metres(answer.radius_m)}.`;
}

// What a reader should know before believing it.
function trust(answer) {
  if (!answer.calibrated) return "Radius and verdict are first guesses: this atlas holds too little to learn them from.";
  return answer.several_passes ? "" : "Learnt from photos of one time: in another light the place may be farther off.";
}

function showAnswer() {
  const { answer } = state, [kind, verdict] = VERDICTS.get(answer.known);
  const told = element("div", {},
    element("p", { className: "file", textContent: answer.file.name }),
    element("p", { className: `verdict ${kind}`, textContent: verdict }),
    element("p", { className: "where", textContent: position(answer) }),
    element("p", { className: "within", textContent: within(answer) }));
  const links = element("div", { className: "links" });
  const copy = element("button", { type: "button", textContent: "Copy position" });
  copy.addEventListener("click", () => navigator.clipboard?.writeText(position(answer)).then(() => { copy.textContent = "Copied"; say("Copied."); }));
  links.append(copy);
  if (answer.lat !== null) {
    const spot = `${answer.lat.toFixed(6)}/${answer.lon.toFixed(6)}`, [lat, lon] = spot.split("/");
    links.append(element("a", { href: `https://www.openstreetmap.org/?mlat=${lat}&mlon=${lon}#map=18/${spot}`, target: "_blank", rel: "noreferrer noopener", textContent: "OpenStreetMap" }));
  }
  const card = element("article", { className: "card", tabIndex: -1 }, element("div", { className: "asked" }, preview(answer.file, "The photo you asked about"), told), links);
  if (trust(answer)) card.append(element("p", { className: "notice", textContent: trust(answer) }));
  const found = element("ol", { className: "matches" }, ...answer.matches.map(match));
  part("answer").replaceChildren(card, element("h2", { className: "heading", textContent: "What was found" }), found);
  showAnswerOnMap();
  legend();
  card.focus({ preventScroll: true });
  say(`${verdict}. ${position(answer)}. ${within(answer)} ${answer.matches.length} matches follow.`);
}

function match(told, number) {
  const rank = number + 1, words = `match ${rank}, similarity ${told.similarity.toFixed(2)}, ${metres(told.distance_m)} from the estimate`;
  const fill = element("i");
  fill.style.width = `${Math.max(told.similarity, 0) * 100}%`;
  const button = element("button", { type: "button", ariaLabel: `Compare with ${words}` },
    element("span", { className: "shot" }, picture(told.id, 320, ""), element("b", { textContent: rank })),
    element("span", { className: "bar" }, fill),
    element("span", { className: "facts" }, element("b", { textContent: told.similarity.toFixed(2) }), element("span", { textContent: `${metres(told.distance_m)} away` })));
  const light = (on) => () => map.marks.find((mark) => mark.rank === rank)?.element.classList.toggle("lit", on);
  for (const [event, on] of [["pointerenter", true], ["pointerleave", false], ["focus", true], ["blur", false]]) button.addEventListener(event, light(on));
  button.addEventListener("click", () => compare([
    [preview(state.answer.file, "The photo you asked about"), "Your photo"],
    [picture(told.id, 1280, `Match ${rank}`), `${capital(words)}${told.time ? `, taken ${when(told.time)}` : ""}`],
  ]));
  return element("li", {}, button);
}

// Matches elsewhere say little about this place; a line to them would only cross the map.
function showAnswerOnMap() {
  const { answer } = state, agrees = (told) => told.distance_m <= Math.max(2 * answer.radius_m, 50);
  const pins = answer.matches.map((told, number) => ({ rank: number + 1, place: told, element: element("div", { className: `pin found${agrees(told) ? "" : " far"}` }, element("span", { textContent: number + 1 })) })).reverse();
  const here = { place: answer, element: element("div", { className: `pin here${answer.known === false ? " doubt" : ""}` }, element("span")) };
  map.show([...pins, here], { place: answer, radius_m: answer.radius_m, doubt: answer.known === false, rays: answer.matches.filter(agrees) });
  map.fit([answer, ...answer.matches], answer.radius_m);
}

function compare(photos) {
  part("pair").replaceChildren(...photos.map(([image, caption]) => { image.loading = "eager"; return element("figure", {}, image, element("figcaption", { textContent: caption })); }));
  part("compare").showModal();
}

function when(time) {
  const moment = new Date(time);
  return Number.isNaN(moment.getTime()) ? time : moment.toLocaleString("en", { dateStyle: "medium", timeStyle: "short" });
}

// Browsing

async function list() {
  const { listed } = state;
  part("more").disabled = true;
  try {
    const told = await ask(`api/photos?start=${listed}&limit=${PAGE}`);
    if (state.generation !== null && told.generation !== state.generation && listed) { state.listed = 0; state.generation = null; part("gallery").replaceChildren(); await list(); return; }
    state.generation = told.generation;
    state.listed = listed + told.photos.length;
    part("gallery").append(...told.photos.map(tile));
    part("more").hidden = state.listed >= told.total;
    if (!told.total) part("chosen").replaceChildren(element("p", { className: "empty", textContent: "This atlas holds no photos yet." }));
    if (listed) say(`${photos(state.listed)} of ${told.total.toLocaleString("en")} are listed.`);
  } catch (error) {
    part("chosen").replaceChildren(element("p", { className: "empty", textContent: error.message }));
    say(error.message);
  } finally {
    part("more").disabled = false;
  }
}

function tile(photo) {
  const button = element("button", { type: "button", ariaLabel: `Photo at ${position(photo)}${photo.time ? `, ${when(photo.time)}` : ""}`, ariaPressed: "false" }, picture(photo.id, 160, ""));
  button.dataset.photo = photo.id;
  button.addEventListener("click", () => choose(photo));
  return element("li", {}, button);
}

function choose(photo) {
  state.photo = photo;
  showChosen();
  say(`Photo at ${position(photo)}.`);
}

function showChosen() {
  const { photo } = state, facts = [photo.time && `Taken ${when(photo.time)}`, photo.heading_deg !== null && `looking ${Math.round(photo.heading_deg)}° from north`].filter(Boolean).join(", ");
  part("chosen").replaceChildren(element("article", { className: "card single" }, picture(photo.id, 640, `Photo at ${position(photo)}`),
    element("p", { className: "where", textContent: position(photo) }), element("p", { className: "within", textContent: facts })));
  for (const button of part("gallery").querySelectorAll("button")) button.ariaPressed = String(button.dataset.photo === photo.id);
  map.show([{ place: photo, element: element("div", { className: "pin one" }, element("span")) }], null);
  map.fit([photo], 40);
  part("chosen").scrollIntoView({ block: "nearest", behavior: "auto" });
}

// Where the atlas is weak

async function cover() {
  const wanted = part("weak").checked;
  part("weakness").hidden = !wanted;
  if (!wanted) { map.showCover(null); legend(); return; }
  part("weak-said").textContent = "The atlas locates its own photos among the others, which may take half a minute.";
  say(part("weak-said").textContent);
  try {
    const told = await ask("api/coverage");
    if (!part("weak").checked) return;
    const weak = told.parts.filter((one) => one.weakness);
    part("weak-said").textContent = told.weak ? `${told.weak.toLocaleString("en")} of ${told.total.toLocaleString("en")} parts are weak; more photos there would help.` : "No part of this atlas is weak.";
    part("parts").replaceChildren(...weak.slice(0, 12).map(weakPart));
    map.showCover(told);
    map.everything();
    legend();
    say(part("weak-said").textContent);
  } catch (error) {
    part("weak-said").textContent = error.message;
    say(error.message);
  }
}

function weakPart(told) {
  const found = told.asked ? `, ${told.found} of ${told.asked} found again` : "";
  const button = element("button", { type: "button" }, told.example ? picture(told.example, 160, "") : missing(""),
    element("span", {}, element("b", { textContent: capital(told.weakness) }), element("span", { textContent: `${capital(told.reason)} (${photos(told.photos)}${found}).` })));
  button.addEventListener("click", () => map.fit([told], 40));
  return element("li", {}, button);
}

// What people do

const actions = { closer: () => map.zoom(0.7), farther: () => map.zoom(-0.7), everything: () => map.everything(), answer: () => state.answer && showAnswerOnMap() };
for (const button of document.querySelectorAll("[data-do]")) button.addEventListener("click", () => actions[button.dataset.do]());
for (const [name, other] of [["locate", "browse"], ["browse", "locate"]]) {
  part(`tab-${name}`).addEventListener("click", () => openTab(name));
  part(`tab-${name}`).addEventListener("keydown", (event) => {
    if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
    openTab(other);
    part(`tab-${other}`).focus();
  });
}
for (const id of ["file", "camera"]) part(id).addEventListener("change", (event) => { if (event.target.files[0]) look(event.target.files[0]); event.target.value = ""; });
part("more").addEventListener("click", list);
part("weak").addEventListener("change", cover);
part("compare").addEventListener("click", (event) => { if (event.target === part("compare")) part("compare").close(); });

const carries = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
let entered = 0;
document.addEventListener("dragenter", (event) => { if (carries(event)) { entered += 1; document.body.classList.add("dropping"); } });
document.addEventListener("dragleave", (event) => { if (carries(event) && (entered -= 1) <= 0) { entered = 0; document.body.classList.remove("dropping"); } });
document.addEventListener("dragover", (event) => { if (carries(event)) event.preventDefault(); });
document.addEventListener("drop", (event) => {
  if (!carries(event)) return;
  event.preventDefault();
  entered = 0;
  document.body.classList.remove("dropping");
  if (event.dataTransfer.files[0]) look(event.dataTransfer.files[0]);
});
document.addEventListener("paste", (event) => { const [file] = event.clipboardData?.files ?? []; if (file) look(file); });

try {
  const atlas = state.atlas = await ask("api/atlas");
  document.title = `Where was this photo taken? ${atlas.name}`;
  part("about").textContent = `${atlas.name}, ${photos(atlas.images)}`;
  part("attribution").textContent = atlas.attribution;
  map.start(atlas);
  if (!atlas.images) part("drop").querySelector(".small").textContent = "This atlas holds no photos yet; add some first.";
} catch (error) {
  part("about").textContent = "Not connected";
  part("answer").replaceChildren(element("p", { className: "card notice", textContent: error.message }));
  say(error.message);
}
