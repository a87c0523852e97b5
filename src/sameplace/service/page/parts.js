// What every part of the page is made of: elements, words and pictures.
import { pictureAddress } from "./api.js";

export const part = (id) => document.getElementById(id);
export const VERDICTS = new Map([[true, ["yes", "Known place"]], [false, ["no", "Not in this atlas"]], [null, ["unsure", "Cannot tell"]]]);

export function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children.filter((child) => child !== null));
  return made;
}

export function say(words) { part("status").textContent = words; }

export function metres(distance) {
  if (distance >= 1000) return `${(distance / 1000).toFixed(1)} km`;
  return distance < 9.95 ? `${distance.toFixed(1)} m` : `${Math.round(distance)} m`;
}

export function position(place) {
  return place.lat === null ? `x ${place.x_m.toFixed(2)} m, y ${place.y_m.toFixed(2)} m` : `${place.lat.toFixed(6)}, ${place.lon.toFixed(6)}`;
}

export function photos(count) { return `${count.toLocaleString("en")} photo${count === 1 ? "" : "s"}`; }

export function capital(words) { return words[0].toUpperCase() + words.slice(1); }

export function missing(words) { return element("span", { className: "missing", textContent: words }); }

export function picture(id, size, alt) {
  const image = element("img", { alt, loading: "lazy", decoding: "async", width: 4, height: 3 });
  image.addEventListener("error", () => image.replaceWith(missing("The picture is no longer there")));
  pictureAddress(id, size).then((address) => { image.src = address; }, () => image.replaceWith(missing("The picture cannot be shown")));
  return image;
}

export function preview(file, alt) {
  const image = element("img", { alt, decoding: "async", src: URL.createObjectURL(file) });
  image.addEventListener("load", () => URL.revokeObjectURL(image.src), { once: true });
  image.addEventListener("error", () => image.replaceWith(missing("This browser cannot show it")));
  return image;
}

export function when(time) {
  const moment = new Date(time);
  return Number.isNaN(moment.getTime()) ? time : moment.toLocaleString("en", { dateStyle: "medium", timeStyle: "short" });
}
