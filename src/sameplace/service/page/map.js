// The map: photos of the atlas by tiles, and an answer on top. Places lie in a square of side 1, as web maps have it.
const WORLD_M = 40075016.685578488;
const TILE = 256;
const still = matchMedia("(prefers-reduced-motion: reduce)");

export function project(place) {
  if (place.lat === null) return [0.5 + place.x_m / WORLD_M, 0.5 - place.y_m / WORLD_M];
  const sine = Math.sin((Math.min(Math.max(place.lat, -85.0511), 85.0511) * Math.PI) / 180);
  return [place.lon / 360 + 0.5, 0.5 - Math.log((1 + sine) / (1 - sine)) / (4 * Math.PI)];
}

export class AtlasMap {
  constructor(canvas, pins, { ask, chosen, status }) {
    Object.assign(this, { canvas, pins, ask, chosen, status });
    this.context = canvas.getContext("2d");
    this.view = { x: 0.5, y: 0.5, zoom: 1 };
    this.tiles = new Map();
    this.pictures = new Map();
    this.marks = [];
    this.ring = null;
    this.path = [];
    this.cover = null;
    this.shown = [];
    this.whole = null;
    this.listen();
    new ResizeObserver(() => this.resize()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { this.colours = null; this.later(); });
  }

  start(atlas) {
    this.atlas = atlas;
    this.tiles.clear();
    const box = atlas.extent;
    if (box) {
      const corners = atlas.frame === "earth"
        ? [{ lat: box.north, lon: box.west }, { lat: box.south, lon: box.east < box.west ? box.east + 360 : box.east }]
        : [{ lat: null, x_m: box.x_min_m, y_m: box.y_max_m }, { lat: null, x_m: box.x_max_m, y_m: box.y_min_m }];
      this.whole = corners.map(project);
      this.view = this.around(this.whole, 48);
    }
    this.later();
  }

  get scale() { return TILE * 2 ** this.view.zoom; }
  get width() { return this.canvas.clientWidth; }
  get height() { return this.canvas.clientHeight; }

  metresAt(y) {
    return this.atlas?.frame === "earth" ? WORLD_M / Math.cosh((0.5 - y) * 2 * Math.PI) : WORLD_M;
  }

  // Where a place is seen; on earth the copy of the world that is nearest to the middle of the view.
  at([x, y]) {
    const across = this.atlas?.frame === "earth" ? x + Math.round(this.view.x - x) : x;
    return [(across - this.view.x) * this.scale + this.width / 2, (y - this.view.y) * this.scale + this.height / 2];
  }

  around([[left, top], [right, bottom]], pad) {
    const room = Math.max(this.width - 2 * pad, 80), depth = Math.max(this.height - 2 * pad, 80);
    const least = 20 / this.metresAt((top + bottom) / 2);
    const scale = Math.min(room / Math.max(right - left, least), depth / Math.max(bottom - top, least));
    return { x: (left + right) / 2, y: (top + bottom) / 2, zoom: Math.min(Math.log2(scale / TILE), 22) };
  }

  show(marks, ring, path = []) {
    this.marks = marks;
    this.ring = ring;
    this.path = path;
    this.pins.replaceChildren(...marks.map((mark) => mark.element));
    this.later();
  }

  // The first place and what of the others is near it, or all of them.
  fit(places, radius_m, all = false) {
    const points = places.map(project);
    const [x, y] = points[0];
    const near = points.map(([px, py]) => [px + Math.round(x - px), py]);
    const reach = Math.max(radius_m * 3, all ? 15 : 90) / this.metresAt(y);
    const close = near.filter(([px, py]) => all || Math.hypot(px - x, py - y) < Math.max(reach * 2, 200 / this.metresAt(y)));
    const across = [x - reach, x + reach, ...close.map(([px]) => px)], down = [y - reach, y + reach, ...close.map(([, py]) => py)];
    this.fly(this.around([[Math.min(...across), Math.min(...down)], [Math.max(...across), Math.max(...down)]], all ? 32 : 64));
  }

  everything() { if (this.whole) this.fly(this.around(this.whole, 48)); }

  fly(to) {
    cancelAnimationFrame(this.flight);
    if (still.matches) { this.view = to; this.later(); return; }
    const from = this.view, started = performance.now();
    const step = (now) => {
      const part = Math.min((now - started) / 420, 1), eased = 1 - (1 - part) ** 3;
      this.view = { x: from.x + (to.x - from.x) * eased, y: from.y + (to.y - from.y) * eased, zoom: from.zoom + (to.zoom - from.zoom) * eased };
      this.draw();
      if (part < 1) this.flight = requestAnimationFrame(step);
    };
    this.flight = requestAnimationFrame(step);
  }

  zoom(by, clientX, clientY) {
    cancelAnimationFrame(this.flight);
    const box = this.canvas.getBoundingClientRect();
    const across = (clientX ?? box.left + box.width / 2) - box.left - box.width / 2;
    const down = (clientY ?? box.top + box.height / 2) - box.top - box.height / 2;
    const before = this.scale, zoom = Math.min(Math.max(this.view.zoom + by, 0), 23), after = TILE * 2 ** zoom;
    this.view = { x: this.view.x + across / before - across / after, y: this.view.y + down / before - down / after, zoom };
    this.later();
  }

  move(across, down) {
    cancelAnimationFrame(this.flight);
    this.view = { ...this.view, x: this.view.x + across / this.scale, y: Math.min(Math.max(this.view.y + down / this.scale, 0), 1) };
    this.later();
  }

  resize() {
    const ratio = devicePixelRatio || 1;
    this.canvas.width = Math.round(this.width * ratio);
    this.canvas.height = Math.round(this.height * ratio);
    this.draw();
  }

  later() {
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(() => this.draw());
  }

  // The tiles of one depth that the view meets.
  *met(depth) {
    const side = 2 ** depth, half = [this.width / 2 / this.scale, this.height / 2 / this.scale];
    const [left, right] = [this.view.x - half[0], this.view.x + half[0]].map((x) => Math.floor(x * side));
    const [top, bottom] = [this.view.y - half[1], this.view.y + half[1]].map((y) => Math.min(Math.max(Math.floor(y * side), 0), side - 1));
    for (let y = top; y <= bottom; y++) for (let x = left; x <= Math.min(right, left + side - 1); x++) yield [x, y, ((x % side) + side) % side];
  }

  // The points of a tile; where a tile above it shows every photo singly, or none, that one is enough.
  points(depth, x, y) {
    let coarse = null;
    for (let up = 0; up <= depth; up++) {
      const tile = this.tiles.get(`${depth - up}/${x >> up}/${y >> up}`);
      if (!tile?.points) continue;
      coarse ??= tile;
      if (up === 0 || tile.single) return tile;
    }
    this.load(`${depth}/${x}/${y}`);
    return coarse;
  }

  async load(key) {
    if (this.tiles.has(key)) return;
    const wanted = {};
    this.tiles.set(key, wanted);
    if (this.tiles.size > 2000) this.tiles.delete(this.tiles.keys().next().value);
    try {
      const told = await this.ask(`api/tiles/${key}`);
      for (const point of told.points) point.spot = project(point);
      Object.assign(wanted, told, { single: told.points.every((point) => point.photos === 1) });
      this.later();
    } catch (error) {
      setTimeout(() => this.tiles.delete(key), 5000);
      this.status?.(error.message);
    }
  }

  draw() {
    if (!this.atlas || !this.width) return;
    const ratio = devicePixelRatio || 1, { context: pen } = this;
    const style = getComputedStyle(document.documentElement);
    this.colours ??= Object.fromEntries(["land", "grid", "dot", "here", "match", "card", "no"].map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.fillStyle = this.colours.land;
    pen.fillRect(0, 0, this.width, this.height);
    const step = this.scaleBar();
    if (this.atlas.tiles && this.atlas.frame === "earth") this.drawPictures(pen);
    else this.drawGrid(pen, step);
    if (this.cover) this.drawCover(pen);
    this.drawPoints(pen);
    if (this.ring) this.drawRing(pen);
    if (this.path.length) this.drawPath(pen);
    for (const { element, place } of this.marks) {
      const [x, y] = this.at(project(place));
      element.style.transform = `translate(${x.toFixed(1)}px, ${y.toFixed(1)}px)`;
    }
  }

  scaleBar() {
    const metres = this.metresAt(this.view.y) / this.scale, wanted = 100 * metres, power = 10 ** Math.floor(Math.log10(wanted));
    const step = (wanted / power < 2 ? 1 : wanted / power < 5 ? 2 : 5) * power, label = document.getElementById("scale");
    label.parentElement.style.width = `${step / metres}px`;
    label.textContent = step >= 1000 ? `${step / 1000} km` : step >= 1 ? `${step} m` : `${Math.round(step * 100)} cm`;
    return step / metres;
  }

  drawGrid(pen, step) {
    const [x, y] = this.at([0.5, 0.5]);
    pen.strokeStyle = this.colours.grid;
    pen.lineWidth = 1;
    pen.beginPath();
    for (let at = ((x % step) + step) % step; at < this.width; at += step) { pen.moveTo(Math.round(at) + 0.5, 0); pen.lineTo(Math.round(at) + 0.5, this.height); }
    for (let at = ((y % step) + step) % step; at < this.height; at += step) { pen.moveTo(0, Math.round(at) + 0.5); pen.lineTo(this.width, Math.round(at) + 0.5); }
    pen.stroke();
  }

  drawPictures(pen) {
    const depth = Math.min(Math.max(Math.round(this.view.zoom), 0), 19), size = this.scale / 2 ** depth;
    for (const [x, y, wrapped] of this.met(depth)) {
      const address = this.atlas.tiles.replaceAll("{z}", depth).replaceAll("{x}", wrapped).replaceAll("{y}", y);
      let picture = this.pictures.get(address);
      if (!picture) {
        picture = new Image();
        picture.onload = () => this.later();
        picture.src = address;
        this.pictures.set(address, picture);
        if (this.pictures.size > 300) this.pictures.delete(this.pictures.keys().next().value);
      }
      const left = (x / 2 ** depth - this.view.x) * this.scale + this.width / 2, top = (y / 2 ** depth - this.view.y) * this.scale + this.height / 2;
      if (picture.complete && picture.naturalWidth) pen.drawImage(picture, left, top, size + 0.5, size + 0.5);
    }
  }

  drawPoints(pen) {
    const depth = Math.min(Math.max(Math.round(this.view.zoom), 0), this.atlas.deepest), seen = new Set();
    const metres = this.metresAt(this.view.y) / this.scale;
    this.shown = [];
    for (const [, y, x] of this.met(depth)) {
      const tile = this.points(depth, x, y);
      if (!tile || seen.has(tile)) continue;
      seen.add(tile);
      for (const point of tile.points) {
        const [left, top] = this.at(point.spot);
        if (left < -20 || top < -20 || left > this.width + 20 || top > this.height + 20) continue;
        this.shown.push({ point, left, top, radius: point.photos > 1 ? Math.min(4 + Math.log2(point.photos), 11) : 4.5 });
      }
    }
    pen.strokeStyle = this.colours.dot;
    pen.lineWidth = 2;
    for (const { point, left, top } of this.shown) {
      if (point.heading_deg === null || point.photos > 1 || metres > 1) continue;
      const angle = (point.heading_deg * Math.PI) / 180;
      pen.beginPath();
      pen.moveTo(left, top);
      pen.lineTo(left + 12 * Math.sin(angle), top - 12 * Math.cos(angle));
      pen.stroke();
    }
    pen.fillStyle = this.colours.dot;
    pen.strokeStyle = this.colours.card;
    pen.lineWidth = 1.5;
    for (const { left, top, radius } of this.shown) {
      pen.beginPath();
      pen.arc(left, top, radius, 0, 2 * Math.PI);
      pen.fill();
      pen.stroke();
    }
  }

  showCover(cover) {
    this.cover = cover;
    this.later();
  }

  drawCover(pen) {
    for (const part of [...this.cover.parts].reverse()) {
      const spot = project(part), [x, y] = this.at(spot), reach = Math.max((this.cover.side_m * 0.4 * this.scale) / this.metresAt(spot[1]), 7);
      pen.fillStyle = pen.strokeStyle = part.weakness ? this.colours.no : this.colours.match;
      pen.lineWidth = 1.5;
      pen.beginPath();
      pen.arc(x, y, reach, 0, 2 * Math.PI);
      pen.globalAlpha = part.weakness ? 0.24 : 0.12;
      pen.fill();
      pen.globalAlpha = part.weakness ? 0.9 : 0.3;
      pen.stroke();
    }
    pen.globalAlpha = 1;
  }

  drawRing(pen) {
    const { place, radius_m, doubt, rays } = this.ring, spot = project(place), [x, y] = this.at(spot);
    pen.strokeStyle = this.colours.match;
    pen.lineWidth = 1.25;
    pen.setLineDash([3, 4]);
    pen.beginPath();
    for (const end of rays) { pen.moveTo(x, y); pen.lineTo(...this.at(project(end))); }
    pen.stroke();
    pen.setLineDash(doubt ? [7, 6] : []);
    pen.fillStyle = pen.strokeStyle = this.colours.here;
    pen.lineWidth = 1.75;
    pen.beginPath();
    pen.arc(x, y, Math.max((radius_m / this.metresAt(spot[1])) * this.scale, 2), 0, 2 * Math.PI);
    pen.stroke();
    pen.globalAlpha = doubt ? 0.06 : 0.14;
    pen.fill();
    pen.globalAlpha = 1;
    pen.setLineDash([]);
  }

  drawPath(pen) {
    const spots = this.path.map((place) => this.at(project(place)));
    pen.fillStyle = pen.strokeStyle = this.colours.here;
    pen.globalAlpha = 0.1;
    this.path.forEach((place, number) => {
      pen.beginPath();
      pen.arc(...spots[number], Math.max((place.radius_m / this.metresAt(project(place)[1])) * this.scale, 2), 0, 2 * Math.PI);
      pen.fill();
    });
    pen.globalAlpha = 1;
    pen.lineWidth = 3;
    pen.lineJoin = pen.lineCap = "round";
    pen.beginPath();
    spots.forEach((spot, number) => (number ? pen.lineTo(...spot) : pen.moveTo(...spot)));
    pen.stroke();
  }

  nearest(clientX, clientY) {
    const box = this.canvas.getBoundingClientRect(), [x, y] = [clientX - box.left, clientY - box.top];
    let best = null, least = 16;
    for (const one of this.shown) {
      const away = Math.hypot(one.left - x, one.top - y);
      if (away < least) [best, least] = [one, away];
    }
    return best?.point ?? null;
  }

  pick(point) {
    const [x, y] = point.spot;
    if (point.photos > 1 && this.view.zoom < this.atlas.deepest) this.fly({ x, y, zoom: Math.min(this.view.zoom + 2.5, 22.5) });
    else this.chosen(point);
  }

  listen() {
    const { canvas } = this, fingers = new Map();
    const steps = { ArrowLeft: [-80, 0], ArrowRight: [80, 0], ArrowUp: [0, -80], ArrowDown: [0, 80] };
    canvas.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (steps[event.key]) this.move(...steps[event.key]);
      else if (event.key === "+" || event.key === "=") this.zoom(0.7);
      else if (event.key === "-") this.zoom(-0.7);
      else if (event.key === "0") this.everything();
      else if (event.key === "Enter") document.querySelector('[data-do="answer"]').click();
      else return;
      event.preventDefault();
    });
    canvas.addEventListener("wheel", (event) => { event.preventDefault(); this.zoom(-event.deltaY * 0.0023, event.clientX, event.clientY); }, { passive: false });
    canvas.addEventListener("dblclick", (event) => this.zoom(1, event.clientX, event.clientY));
    canvas.addEventListener("pointerdown", (event) => { canvas.setPointerCapture(event.pointerId); fingers.set(event.pointerId, event); this.travelled = 0; cancelAnimationFrame(this.flight); });
    canvas.addEventListener("pointermove", (event) => {
      const before = fingers.get(event.pointerId);
      if (!before) { canvas.classList.toggle("over", this.nearest(event.clientX, event.clientY) !== null); return; }
      const other = [...fingers.values()].find((finger) => finger.pointerId !== event.pointerId);
      const across = event.clientX - before.clientX, down = event.clientY - before.clientY;
      this.travelled += Math.hypot(across, down);
      fingers.set(event.pointerId, event);
      if (!other) { this.move(-across, -down); return; }
      const apart = (finger) => Math.max(Math.hypot(finger.clientX - other.clientX, finger.clientY - other.clientY), 1);
      this.zoom(Math.log2(apart(event) / apart(before)), (event.clientX + other.clientX) / 2, (event.clientY + other.clientY) / 2);
    });
    for (const ending of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(ending, (event) => {
        const alone = fingers.size === 1;
        fingers.delete(event.pointerId);
        const point = ending === "pointerup" && alone && this.travelled < 6 ? this.nearest(event.clientX, event.clientY) : null;
        if (point) this.pick(point);
      });
    }
  }
}
