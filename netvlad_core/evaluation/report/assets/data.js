"use strict";
// What the page is made of: the report's values, elements, colours and pictures.

const report = JSON.parse(document.getElementById("data").textContent);
const map = report.map;
const drive = report.queries || null; // without a drive the items are places of the map
const STATES = ["LOST", "AMBIGUOUS", "LOCALIZED"];
const items = (({ columns, rows }) =>
  rows.map((row, index) => {
    const item = { index };
    columns.forEach((name, column) => (item[name] = row[column]));
    return item;
  }))(drive || report.places);

// Names of one topic or folder differ at their ends only.
const labelOf = (() => {
  let common = items[0].name;
  for (const { name } of items) while (!name.startsWith(common)) common = common.slice(0, -1);
  const kept = Math.max(common.lastIndexOf("/") + 1, common.lastIndexOf("#"), 0);
  return (item) => item.name.slice(kept);
})();

const byId = (id) => document.getElementById(id);

/** An element with properties, and children that are elements or texts; null children are left out. */
function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name in made) made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

function svg(tag, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

/** A number for people: no more decimals than it deserves. */
function shown(value, unit = "") {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value);
  const text =
    size >= 100 || Number.isInteger(value) ? Math.round(value).toString() : value.toFixed(size >= 10 ? 1 : 2);
  return unit ? `${text} ${unit}` : text;
}
const percent = (share, digits = 1) => (share === null ? "–" : `${(100 * share).toFixed(digits)} %`);
const placeAt = (place) => (place === null || map.x[place] === null ? null : [map.x[place], map.y[place]]);
const between = (a, b) => (a && b ? Math.hypot(a[0] - b[0], a[1] - b[1]) : null);

// --- Colours ---

const css = (() => {
  let known = {};
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    known = {};
    redraw();
  });
  return (name) =>
    (known[name] ||= getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim());
})();

const RAMP = ["#2b6fb3", "#2f97a8", "#5fb58c", "#b3c45c", "#ecb93f", "#ea8338", "#cf3f52"];
const VERDICTS = {
  wrong: "wrong pose",
  missed: "no pose, but in the map",
  silent: "no pose, not in the map",
  right: "right pose",
};

/** Ways to colour the items: `of` gives a bucket, `palette` the colours of the buckets. */
const COLOURINGS = {};
const steps = (value, low, high) =>
  value === null ? null : Math.max(0, Math.min(6, Math.floor((7 * (value - low)) / (high - low || 1))));
const quantile = (values, share) =>
  values.length && values.sort((a, b) => a - b)[Math.floor(share * (values.length - 1))];

function addRamp(name, value, unit, palette, low, high) {
  COLOURINGS[name] = {
    of: (item) => steps(value(item), low, high),
    palette: () => palette,
    ends: [shown(low), shown(high, unit)],
  };
}
if (drive) {
  if (drive.verdicts) {
    const names = Object.keys(VERDICTS);
    COLOURINGS["right or wrong"] = {
      of: (item) => (item.verdict ? names.indexOf(item.verdict) : null),
      palette: () => names.map(css),
      names: names.map((name) => VERDICTS[name]),
    };
  }
  COLOURINGS.state = {
    of: (item) => item.state,
    palette: () => ["lost", "ambiguous", "localized"].map(css),
    names: STATES,
  };
  const errors = items.map((item) => item.error).filter((error) => error !== null);
  if (errors.length)
    addRamp("error", (item) => item.error, "m", RAMP, 0, Math.max(1, Math.ceil(quantile(errors, 0.99))));
  addRamp("probability", (item) => item.probability, "", [...RAMP].reverse(), 0, 1);
} else {
  const found = items.map((item) => item.similarity).filter((value) => value !== null);
  if (found.length)
    addRamp(
      "look-alikes",
      (item) => item.similarity,
      "similarity elsewhere",
      RAMP,
      quantile(found, 0.02),
      quantile(found, 0.98),
    );
  if (map.session_of)
    COLOURINGS.session = {
      of: (item) => map.session_of[item.number] % RAMP.length,
      palette: () => RAMP,
      names: map.sessions.slice(0, RAMP.length),
    };
  if (!Object.keys(COLOURINGS).length)
    COLOURINGS.none = { of: () => 0, palette: () => [css("accent")], names: [] };
}

for (const [name, colouring] of Object.entries(COLOURINGS)) colouring.name = name;

// --- Pictures ---

const MOST_SHEETS = 48; // decoded at a time

/** Pictures in sheets, decoded when they are first drawn. */
class Pictures {
  constructor(values) {
    this.values = values;
    this.open = new Map();
  }

  get aspect() {
    return this.values ? this.values.width / this.values.height : 4 / 3;
  }

  /** Draw a picture into a rectangle; false if it is not there, or not yet: then everything is drawn again. */
  draw(context, number, x, y, width, height) {
    if (!this.values || number === null || number === undefined) return false;
    const { columns, rows, count } = this.values;
    const perSheet = columns * rows;
    const sheet = this.sheet(Math.floor(number / perSheet));
    if (!sheet.complete || !sheet.naturalWidth) return false;
    const cell = number % perSheet;
    const filled = Math.min(perSheet, count - (number - cell));
    const cellWidth = sheet.naturalWidth / columns;
    const cellHeight = sheet.naturalHeight / Math.ceil(filled / columns);
    context.drawImage(
      sheet,
      (cell % columns) * cellWidth,
      Math.floor(cell / columns) * cellHeight,
      cellWidth,
      cellHeight,
      x,
      y,
      width,
      height,
    );
    return true;
  }

  sheet(index) {
    let image = this.open.get(index);
    this.open.delete(index); // the oldest in use comes first
    if (!image) {
      image = new Image();
      image.addEventListener("load", () => redraw("list", "detail"));
      image.src = this.values.sheets[index];
      if (this.open.size >= MOST_SHEETS) this.open.delete(this.open.keys().next().value);
    }
    this.open.set(index, image);
    return image;
  }
}

const placePictures = new Pictures(map.pictures);
const itemPictures = drive ? new Pictures(drive.pictures) : placePictures;
const pictureOfPlace = (place) => (map.pictures && place !== null ? map.pictures.of[place] : undefined);
const pictureOf = (item) => (drive ? item.picture : pictureOfPlace(item.number));

/** Size a canvas, in pixels of the screen; gives its empty context in CSS pixels, and the size. */
function prepared(canvas, width = canvas.clientWidth, height = canvas.clientHeight) {
  const ratio = window.devicePixelRatio || 1;
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return { context, width, height };
}

/** What is costly to draw and seldom changes: drawn into a canvas of its own, and copied from there. */
class Layer {
  constructor() {
    this.canvas = element("canvas");
  }

  /** Copy the layer to a context; `paint(context)` makes it anew if `key` or size have changed. */
  copyTo(context, width, height, key, paint) {
    const state = [key, width, height, window.devicePixelRatio, css("ink")].join();
    if (state !== this.state) paint(prepared(this.canvas, width, height).context);
    this.state = state;
    context.drawImage(this.canvas, 0, 0, width, height);
  }
}
