// Several photos of one walk: a list of where each was taken, and their path on the map.
import { compare } from "./compare.js";
import { element, metres, position, preview } from "./parts.js";

// What each photo alone would have been told.
const ALONE = new Map([[true, ["yes", "known place"]], [false, ["no", "not known alone"]], [null, ["unsure", "cannot tell"]]]);

const located = (walk) => walk.steps.filter((step) => step.estimate);

// The children of the answer, and what a screen reader hears of them.
export function walkCard(walk, { atlas, map }) {
  const found = located(walk).length, known = located(walk).filter((step) => step.estimate.known).length;
  const order = walk.by_time ? "in the order in which they were taken" : "in the order of their names, as not all say by one clock when they were taken";
  const length = `${found} photo${found === 1 ? "" : "s"} along ${metres(walk.length_m)}`;
  const told = `${known === found ? "Each of them" : known || "None"} would have been known alone. They were located together, ${order}.`;
  const card = element("article", { className: "card", tabIndex: -1 }, element("p", { className: "where", textContent: length }), element("p", { className: "within", textContent: told }));
  const list = element("ol", { className: "steps", ariaLabel: "Photos of the walk" }, ...walk.steps.map((step, number) => row(step, number + 1, walk, { atlas, map })));
  return { children: [card, list], words: `A walk. ${length}. ${told}` };
}

function row(step, rank, walk, { atlas, map }) {
  const file = walk.files[step.number], told = step.estimate;
  const shot = element("span", { className: "shot" }, preview(file, ""), element("b", { textContent: rank }));
  const name = element("span", { className: "file", textContent: file.name });
  if (!told) return element("li", {}, element("div", { className: "step" }, shot, element("span", {}, name, element("span", { className: "within", textContent: step.error }))));
  const [kind, verdict] = ALONE.get(told.known);
  const facts = element("span", {}, name, element("b", { textContent: position(told) }),
    element("span", { className: "within" }, `within about ${metres(told.radius_m)}, `, element("span", { className: `word ${kind}`, textContent: verdict })));
  const button = element("button", { type: "button", className: "step", ariaLabel: `Photo ${rank}, ${file.name}, ${position(told)}, within about ${metres(told.radius_m)}, ${verdict}: compare with its best match` }, shot, facts);
  const light = (on) => () => map.marks.find((mark) => mark.rank === rank)?.element.classList.toggle("lit", on);
  for (const [event, on] of [["pointerenter", true], ["pointerleave", false], ["focus", true], ["blur", false]]) button.addEventListener(event, light(on));
  button.addEventListener("click", () => compare(atlas, file, told.matches, 0));
  return element("li", {}, button);
}

export function walkOnMap(walk, map) {
  const steps = walk.steps.map((step, number) => ({ rank: number + 1, place: step.estimate })).filter((step) => step.place);
  const pins = steps.map(({ rank, place }) => ({ rank, place, element: element("div", { className: `pin stop${place.known === false ? " doubt" : ""}` }, element("span", { textContent: rank })) }));
  map.show(pins.reverse(), null, steps.map(({ place }) => place));
  if (steps.length) map.fit(steps.map(({ place }) => place), 0, true);
}
