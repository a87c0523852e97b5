// The page: a photo in, the place out, and a look around the atlas.
import { ask, locate, locateWalk } from "./api.js";
import { compare } from "./compare.js";
import { AtlasMap } from "./map.js";
import { capital, element, metres, missing, part, photos, picture, position, preview, say, VERDICTS, when } from "./parts.js";
import { walkCard, walkOnMap } from "./walk.js";

const PAGE = 60;
const state = { atlas: null, answer: null, walk: null, going: null, listed: 0, generation: null, photo: null };

const map = new AtlasMap(part("map"), part("pins"), { ask, status: say, chosen: (point) => { openTab("browse"); choose(point); } });

// Tabs

function openTab(name) {
  for (const tab of ["locate", "browse"]) {
    const open = tab === name, button = part(`tab-${tab}`);
    button.setAttribute("aria-selected", open);
    button.tabIndex = open ? 0 : -1;
    part(tab).hidden = !open;
  }
  if (name === "browse") { if (!state.listed) list(); if (state.photo) showChosen(); } else showAnswerOnMap();
  legend();
}

function legend() {
  const shown = (state.answer !== null || state.walk !== null) && !part("locate").hidden;
  part("legend").querySelector(".of-match").hidden = !shown || state.answer === null;
  part("legend").querySelector(".of-here").hidden = !shown;
  for (const line of part("legend").querySelectorAll(".of-weak, .of-strong")) line.hidden = map.cover === null;
  document.querySelector('[data-do="answer"]').hidden = !shown;
}

// Locating

// What the waiting, the answer and a refusal have in common: nothing of the question before is left on the page.
function begin(card, words) {
  openTab("locate");
  state.going?.abort();
  state.going = new AbortController();
  state.answer = state.walk = null;
  part("drop").classList.add("compact");
  part("drop").querySelector("h1").textContent = "Another photo?";
  part("answer").replaceChildren(card);
  showAnswerOnMap();
  legend();
  say(words);
  return state.going.signal;
}

function refused(error, image, name) {
  if (error.name === "AbortError") return;
  part("answer").replaceChildren(element("article", { className: "card asked error" }, image,
    element("div", {}, element("p", { className: "file", textContent: name }), element("p", { className: "where", textContent: "No answer" }), element("p", { className: "within", textContent: error.message }))));
  say(`No answer: ${error.message}`);
}

function waiting(image, name) {
  const lines = ["", " short", ""].map((kind) => element("div", { className: `line${kind}` }));
  return element("article", { className: "card asked waiting", ariaBusy: "true" }, image, element("div", {}, element("p", { className: "file", textContent: name }), ...lines));
}

function megabytes(bytes) { return `${Math.round(bytes / 1e6)} MB`; }

async function look(file) {
  if (!state.atlas) return;
  const { upload_bytes, verify } = state.atlas, image = () => preview(file, "The photo you asked about");
  const signal = begin(waiting(image(), file.name), "Looking for the place of this photo.");
  try {
    if (file.size > upload_bytes) throw new Error(`Photos of up to ${megabytes(upload_bytes)} are taken, and this one has ${megabytes(file.size)}; choose a smaller one.`);
    const answer = await locate(file, part("verify").checked ? verify : 0, { signal });
    state.answer = { ...answer, file };
    showAnswer();
  } catch (error) {
    refused(error, image(), file.name);
  }
}

async function lookAlong(files) {
  if (!state.atlas) return;
  const { walk_photos, walk_bytes, upload_bytes } = state.atlas, name = `${files.length} photos of one walk`;
  // Cameras number their photos; the service puts them in order by time where all of them tell it.
  files = [...files].sort((one, other) => one.name.localeCompare(other.name, undefined, { numeric: true }));
  const image = () => preview(files[0], "The first photo of the walk");
  const signal = begin(waiting(image(), name), `Looking for the places of ${name}.`);
  try {
    if (files.length > walk_photos) throw new Error(`Walks of up to ${walk_photos} photos are taken, and these are ${files.length}; leave some out.`);
    const large = files.find((file) => file.size > upload_bytes), bytes = files.reduce((sum, file) => sum + file.size, 0);
    if (large) throw new Error(`Photos of up to ${megabytes(upload_bytes)} are taken, and ${large.name} has ${megabytes(large.size)}; leave it out.`);
    if (bytes > walk_bytes) throw new Error(`Walks of up to ${megabytes(walk_bytes)} are taken, and this one has ${megabytes(bytes)}; leave some photos out.`);
    state.walk = { ...(await locateWalk(files, { signal })), files };
    const card = walkCard(state.walk, { atlas: state.atlas, map });
    part("answer").replaceChildren(...card.children);
    showAnswerOnMap();
    legend();
    part("answer").firstElementChild.focus({ preventScroll: true });
    say(card.words);
  } catch (error) {
    refused(error, image(), name);
  }
}

function take(files) {
  if (files.length > 1) lookAlong(files);
  else if (files.length) look(files[0]);
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

// What the comparison point by point came to, if it was asked for.
function proof(answer) {
  const done = answer.verification;
  if (!done) return null;
  const best = answer.matches[0].inliers, late = done.stopped ? ` ${done.budget} s sufficed for ${done.compared} of ${done.wanted} matches.` : "";
  if (best === null) return `No match was compared point by point.${late}`;
  return `${best >= done.least ? "Proved" : "Not proved"}: ${best} points of the best match agree, and ${done.least} are proof.${late}`;
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
  if (proof(answer)) card.append(element("p", { className: "notice", textContent: proof(answer) }));
  if (trust(answer)) card.append(element("p", { className: "notice", textContent: trust(answer) }));
  const found = element("ol", { className: "matches" }, ...answer.matches.map(match));
  part("answer").replaceChildren(card, element("h2", { className: "heading", textContent: "What was found" }), found);
  showAnswerOnMap();
  legend();
  card.focus({ preventScroll: true });
  say(`${verdict}. ${position(answer)}. ${within(answer)} ${proof(answer) ?? ""} ${answer.matches.length} matches follow.`);
}

function match(told, number) {
  const rank = number + 1, words = `match ${rank}, similarity ${told.similarity.toFixed(2)}, ${metres(told.distance_m)} from the estimate`;
  const agree = told.inliers === null ? null : element("span", { className: told.inliers >= state.answer.verification.least ? "agree proved" : "agree", textContent: `${told.inliers} points agree` });
  const fill = element("i");
  fill.style.width = `${Math.max(told.similarity, 0) * 100}%`;
  const button = element("button", { type: "button", ariaLabel: `Compare with ${words}${agree ? `, ${agree.textContent}` : ""}` },
    element("span", { className: "shot" }, picture(told.id, 320, ""), element("b", { textContent: rank })),
    element("span", { className: "bar" }, fill),
    element("span", { className: "facts" }, element("b", { textContent: told.similarity.toFixed(2) }), element("span", { textContent: `${metres(told.distance_m)} away` })), agree ?? "");
  const light = (on) => () => map.marks.find((mark) => mark.rank === rank)?.element.classList.toggle("lit", on);
  for (const [event, on] of [["pointerenter", true], ["pointerleave", false], ["focus", true], ["blur", false]]) button.addEventListener(event, light(on));
  button.addEventListener("click", () => compare(state.atlas, state.answer.file, state.answer.matches, number));
  return element("li", {}, button);
}

// Matches elsewhere say little about this place; a line to them would only cross the map.
function showAnswerOnMap() {
  if (state.walk) { walkOnMap(state.walk, map); return; }
  if (!state.answer) { map.show([], null); return; }
  const { answer } = state, agrees = (told) => told.distance_m <= Math.max(2 * answer.radius_m, 50);
  const pins = answer.matches.map((told, number) => ({ rank: number + 1, place: told, element: element("div", { className: `pin found${agrees(told) ? "" : " far"}` }, element("span", { textContent: number + 1 })) })).reverse();
  const here = { place: answer, element: element("div", { className: `pin here${answer.known === false ? " doubt" : ""}` }, element("span")) };
  map.show([...pins, here], { place: answer, radius_m: answer.radius_m, doubt: answer.known === false, rays: answer.matches.filter(agrees) });
  map.fit([answer, ...answer.matches], answer.radius_m);
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

const actions = { closer: () => map.zoom(0.7), farther: () => map.zoom(-0.7), everything: () => map.everything(), answer: showAnswerOnMap };
for (const button of document.querySelectorAll("[data-do]")) button.addEventListener("click", () => actions[button.dataset.do]());
for (const [name, other] of [["locate", "browse"], ["browse", "locate"]]) {
  part(`tab-${name}`).addEventListener("click", () => openTab(name));
  part(`tab-${name}`).addEventListener("keydown", (event) => {
    if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
    openTab(other);
    part(`tab-${other}`).focus();
  });
}
for (const id of ["file", "camera"]) part(id).addEventListener("change", (event) => { take([...event.target.files]); event.target.value = ""; });
part("more").addEventListener("click", list);
part("weak").addEventListener("change", cover);
part("verify").addEventListener("change", () => { if (state.answer) look(state.answer.file); });

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
  take([...event.dataTransfer.files]);
});
document.addEventListener("paste", (event) => { take([...(event.clipboardData?.files ?? [])]); });

try {
  const atlas = state.atlas = await ask("api/atlas");
  document.title = `Where was this photo taken? ${atlas.name}`;
  part("about").textContent = `${atlas.name}, ${photos(atlas.images)}`;
  part("attribution").textContent = atlas.attribution;
  part("verify-way").hidden = !atlas.verify;
  map.start(atlas);
  if (!atlas.images) part("drop").querySelector(".small").textContent = "This atlas holds no photos yet; add some first.";
} catch (error) {
  part("about").textContent = "Not connected";
  part("answer").replaceChildren(element("p", { className: "card notice", textContent: error.message }));
  say(error.message);
}
