// Asking the service: every refusal becomes an Error with its one sentence; a private service is asked again with the token.
const STORE = "sameplace token";
const pictures = new Map();
let asking = null;

function token() {
  try { return sessionStorage.getItem(STORE); } catch { return null; }
}

function askForToken() {
  asking ??= new Promise((resolve) => {
    const dialog = document.getElementById("ask"), field = document.getElementById("token");
    field.value = "";
    dialog.addEventListener("close", () => {
      asking = null;
      if (dialog.returnValue === "ok" && field.value) sessionStorage.setItem(STORE, field.value.trim());
      resolve(dialog.returnValue === "ok");
    }, { once: true });
    dialog.returnValue = "";
    dialog.showModal();
  });
  return asking;
}

async function request(path, options = {}) {
  for (;;) {
    const shown = token();
    let response;
    try {
      response = await fetch(path, { ...options, headers: shown ? { Authorization: `Bearer ${shown}` } : {} });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Error("The service cannot be reached; check that it still runs, and try again.");
    }
    if (response.ok) return response;
    if (response.status === 401 && (shown !== token() || await askForToken())) continue;
    const problem = await response.json().catch(() => null);
    throw new Error(problem?.detail ?? `The service refused with status ${response.status}.`);
  }
}

export async function ask(path, options) {
  return (await request(path, options)).json();
}

function form(photos) {
  const made = new FormData();
  for (const photo of photos) made.append("photo", photo, "photo");
  return { method: "POST", body: made };
}

export function locate(photo, verify, options) {
  return ask(`api/locate?top=10&verify=${verify}`, { ...options, ...form([photo]) });
}

export function locateWalk(photos, options) {
  return ask("api/walk?top=3", { ...options, ...form(photos) });
}

// The heat maps ("why") of a photo and a match, or the points of both that agree ("proof").
export function explain(way, photo, match) {
  return ask(`api/${way}?match=${match}`, form([photo]));
}

// Where pictures need the token, an address alone does not show them.
export async function pictureAddress(id, size) {
  const path = `api/photos/${id}/picture?size=${size}`;
  if (!token()) return path;
  if (!pictures.has(path)) pictures.set(path, request(path).then((response) => response.blob()).then((blob) => URL.createObjectURL(blob)));
  return pictures.get(path);
}
