// A photo beside one of its matches: as they are, lit where they look alike to the model, or with lines between points that agree.
import { explain } from "./api.js";
import { capital, element, metres, missing, part, picture, preview, when } from "./parts.js";

// From nothing to much, as in the pictures of `sameplace locate --why`.
const GLOW = [[8, 10, 50], [84, 15, 109], [187, 55, 84], [249, 142, 9], [252, 255, 164]];
const FINE = 8;
const known = new WeakMap(); // by photo: what was told of it before
const shown = { atlas: null, file: null, matches: [], number: 0, stages: [], lines: [] };

export function compare(atlas, file, matches, number) {
  Object.assign(shown, { atlas, file, matches });
  part("views").elements.namedItem("view").value = "photos";
  part("compare").showModal();
  turn(number);
}

function turn(number) {
  const told = shown.matches[number], rank = number + 1;
  shown.number = number;
  const words = [`similarity ${told.similarity.toFixed(2)}`, `${metres(told.distance_m)} from the estimate`, told.time && `taken ${when(told.time)}`].filter(Boolean);
  part("compare-title").textContent = `Match ${rank} of ${shown.matches.length}`;
  const sides = [[preview(shown.file, "The photo you asked about"), "Your photo"], [picture(told.id, 1280, `Match ${rank}`), capital(words.join(", "))]];
  shown.stages = sides.map(([image]) => stage(image));
  part("pair").replaceChildren(...sides.map(([, caption], side) => element("figure", {}, shown.stages[side], element("figcaption", { textContent: caption }))), part("lines"));
  part("before").disabled = number === 0;
  part("after").disabled = number === shown.matches.length - 1;
  view();
}

// An image with a sheet over it of the same shape, as large as there is room.
function stage(image) {
  const made = element("div", { className: "stage" }, image, element("canvas", { ariaHidden: "true" }));
  image.loading = "eager";
  image.addEventListener("load", () => {
    const shape = image.naturalWidth / image.naturalHeight;
    made.style.aspectRatio = String(shape);
    made.style.width = `min(100%, calc(var(--tall) * ${shape}))`;
    drawLines();
  });
  return made;
}

async function view() {
  const way = part("views").elements.namedItem("view").value, { file, matches, number, stages, atlas } = shown;
  const still = () => way === part("views").elements.namedItem("view").value && stages === shown.stages;
  shown.lines = [];
  drawLines();
  part("pair").classList.remove("heat");
  part("glow").hidden = true;
  part("compared").textContent = way === "photos" ? "" : "One moment.";
  if (way === "photos") return;
  const refusal = way === "why" ? atlas.unexplained : atlas.unverified;
  try {
    if (refusal) throw new Error(refusal);
    const told = await asked(way, file, matches[number].id);
    if (!still()) return;
    if (way === "why") showHeat(told, stages);
    else showProof(told, matches[number]);
  } catch (error) {
    if (still()) part("compared").textContent = error.message;
  }
}

async function asked(way, file, match) {
  if (!known.has(file)) known.set(file, new Map());
  const before = known.get(file), name = `${way} ${match}`;
  if (!before.has(name)) before.set(name, await explain(way, file, match));
  return before.get(name);
}

function showHeat(told, stages) {
  part("pair").classList.add("heat");
  part("glow").hidden = false;
  [told.photo, told.match].forEach((grid, side) => paint(stages[side].querySelector("canvas"), grid, told.most));
  const [yours, theirs] = [told.photo, told.match].map(brightest);
  part("compared").textContent = `What glows made the two photos similar: most of all ${yours} of yours and ${theirs} of the match.`;
}

// Where most glows, in words, for those who do not see the colours.
function brightest(grid) {
  const all = grid.flat(), at = all.indexOf(Math.max(...all)), columns = grid[0].length;
  const third = (place, places) => Math.floor((3 * (place + 0.5)) / places);
  const down = third(Math.floor(at / columns), grid.length), across = third(at % columns, columns);
  if (across === 1) return ["the top", "the middle", "the bottom"][down];
  return `the ${["upper ", "", "lower "][down]}${["left", "", "right"][across]}`;
}

function paint(canvas, grid, most) {
  const rows = grid.length, columns = grid[0].length, pen = canvas.getContext("2d");
  canvas.width = columns * FINE;
  canvas.height = rows * FINE;
  const sheet = pen.createImageData(canvas.width, canvas.height), within = (value, limit) => Math.min(Math.max(value, 0), limit);
  for (let y = 0, at = 0; y < canvas.height; y++) {
    const down = within((y + 0.5) / FINE - 0.5, rows - 1), above = Math.min(Math.floor(down), Math.max(rows - 2, 0)), below = Math.min(above + 1, rows - 1);
    for (let x = 0; x < canvas.width; x++, at += 4) {
      const across = within((x + 0.5) / FINE - 0.5, columns - 1), left = Math.min(Math.floor(across), Math.max(columns - 2, 0)), right = Math.min(left + 1, columns - 1);
      const mix = (row) => row[left] * (1 - across + left) + row[right] * (across - left);
      const share = within((mix(grid[above]) * (1 - down + above) + mix(grid[below]) * (down - above)) / Math.max(most, 1e-12), 1);
      const step = share * (GLOW.length - 1), low = Math.min(Math.floor(step), GLOW.length - 2);
      for (let colour = 0; colour < 3; colour++) sheet.data[at + colour] = GLOW[low][colour] + (GLOW[low + 1][colour] - GLOW[low][colour]) * (step - low);
      sheet.data[at + 3] = 255 * (0.3 + 0.45 * share); // the photo shows through everywhere
    }
  }
  pen.putImageData(sheet, 0, 0);
}

function showProof(told, match) {
  shown.lines = told.lines;
  drawLines();
  const verdict = told.proved ? "proof that both photos show the same thing" : "no proof that both photos show the same thing";
  const sentences = [`${told.inliers} of ${told.pairs} pairs of points agree: ${verdict}, for which ${told.least} are needed.`];
  if (told.turned_deg !== null) sentences.push(bearing(told, match));
  part("compared").textContent = sentences.join(" ");
}

function bearing({ turned_deg, towards_deg }, { heading_deg }) {
  const side = (degrees) => (degrees < 0 ? "left" : "right"), whole = (degrees) => Math.round(Math.abs(degrees));
  const looked = whole(turned_deg) ? `looked ${whole(turned_deg)}° farther to the ${side(turned_deg)}` : "looked the same way";
  const north = heading_deg === null ? "" : `, about ${(Math.round(heading_deg + turned_deg) + 720) % 360}° from north`;
  return `Your camera ${looked}${north}, ${towards_deg === null ? "from about the same spot" : `and stood ${stood(towards_deg)}`}.`;
}

// Where the photo's camera stood, seen from the match's.
function stood(degrees) {
  const away = Math.abs(degrees), where = away < 45 ? "ahead of" : away < 135 ? "beside" : "behind";
  return `${where} the match's, ${Math.round(away)}° to the ${degrees < 0 ? "left" : "right"} of where it looks`;
}

function drawLines() {
  const canvas = part("lines"), box = part("pair").getBoundingClientRect(), ratio = devicePixelRatio || 1, pen = canvas.getContext("2d");
  canvas.width = Math.round(box.width * ratio);
  canvas.height = Math.round(box.height * ratio);
  if (!shown.lines.length || part("pair").querySelector(".missing")) return;
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  const frames = shown.stages.map((one) => one.getBoundingClientRect());
  const place = (side, x, y) => [frames[side].left - box.left + x * frames[side].width, frames[side].top - box.top + y * frames[side].height];
  for (const [x, y, otherX, otherY] of shown.lines) {
    const ends = [place(0, x, y), place(1, otherX, otherY)], colour = `hsl(${Math.round(300 * x)} 90% 62%`; // neighbours look alike, and a stray one shows
    pen.strokeStyle = `${colour} / .6)`;
    pen.lineWidth = 1.25;
    pen.beginPath();
    pen.moveTo(...ends[0]);
    pen.lineTo(...ends[1]);
    pen.stroke();
    for (const end of ends) {
      pen.beginPath();
      pen.arc(...end, 2.75, 0, 2 * Math.PI);
      pen.fillStyle = `${colour})`;
      pen.strokeStyle = "#111a";
      pen.lineWidth = 1;
      pen.fill();
      pen.stroke();
    }
  }
}

part("views").addEventListener("change", view);
part("before").addEventListener("click", () => turn(shown.number - 1));
part("after").addEventListener("click", () => turn(shown.number + 1));
part("compare").addEventListener("click", (event) => { if (event.target === part("compare")) part("compare").close(); });
new ResizeObserver(drawLines).observe(part("pair"));
