// What is chosen, and what is drawn when it changes.

const chosen = { item: null, place: null, colouring: null };
let list, trajectory, timeline;

/** Place beside the chosen image: its answer, or the match that was clicked. */
const shownPlace = () => chosen.place ?? chosen.item.place;

const PARTS = {
  trajectory: () => trajectory.draw(chosen.colouring, chosen.item),
  timeline: () => timeline.draw(chosen.colouring, chosen.item),
  list: () => list.draw(chosen.colouring, chosen.item),
  detail: () => drawDetailIfChanged(),
};

// What is to be drawn: once for each picture of the screen, however often it is asked for.
const asked = new Set();
function redraw(...parts) {
  if (!asked.size) requestAnimationFrame(drawAsked);
  for (const part of parts.length ? parts : Object.keys(PARTS)) asked.add(part);
}

function drawAsked() {
  const parts = [...asked];
  asked.clear();
  if (list) for (const part of parts) PARTS[part]();
}

// Its elements are made anew only for another image, another place, or pictures that have come meanwhile.
let drawn = "";
function drawDetailIfChanged() {
  const ready = (pictures) => [...pictures.open.values()].filter((image) => image.complete).length;
  const { item, place } = chosen;
  const key = [item?.index, place, ready(itemPictures), ready(placePictures), css("ink")].join();
  if (!item || key === drawn) return;
  drawn = key;
  drawDetail(byId("detail"), item);
}

function choose(index) {
  const changed = chosen.item !== items[index];
  chosen.item = items[index];
  chosen.place = null;
  if (changed) byId("detail").scrollTop = 0;
  list.reveal(chosen.item);
  redraw();
}

function showPlace(place) {
  chosen.place = place;
  redraw("trajectory", "detail");
}

function step(by) {
  const order = list.order;
  if (!order.length) return;
  const at = order.indexOf(chosen.item);
  choose(order[Math.max(0, Math.min(order.length - 1, at < 0 ? 0 : at + by))].index);
}

// --- Orders and filters of the list ---

const badness = (item) => {
  if (item.verdict === "wrong") return [0, -(item.error ?? item.away)];
  if (item.verdict === "missed") return [1, item.index];
  if (item.verdict === "silent") return [3, item.index];
  if (item.verdict === "right") return [2, -item.error];
  return [item.state, item.probability]; // without a truth: the least sure first
};
const ORDERS = drive
  ? {
      "failures first": (a, b) =>
        badness(a)[0] - badness(b)[0] || badness(a)[1] - badness(b)[1] || a.index - b.index,
      "as driven": (a, b) => a.index - b.index,
      "least probable": (a, b) => a.probability - b.probability || a.index - b.index,
    }
  : {
      "look-alikes first": (a, b) => (b.similarity ?? -2) - (a.similarity ?? -2) || a.index - b.index,
      "as driven": (a, b) => a.index - b.index,
    };
const FILTERS = { all: () => true };
if (drive && drive.verdicts) {
  FILTERS.failures = (item) => item.verdict === "wrong" || item.verdict === "missed";
  for (const name of Object.keys(VERDICTS))
    if (drive.verdicts[name]) FILTERS[VERDICTS[name]] = (item) => item.verdict === name;
} else if (drive)
  for (const [state, name] of STATES.entries())
    if (drive.states[name]) FILTERS[name] = (item) => item.state === state;

function fillList() {
  const order = items.filter(FILTERS[byId("filter").value]).sort(ORDERS[byId("order").value]);
  list.setOrder(order);
  if (order.length && !order.includes(chosen.item)) choose(order[0].index);
  else if (chosen.item) list.reveal(chosen.item);
  redraw();
}

function fillSelect(id, names, onchange) {
  const select = byId(id);
  select.replaceChildren(...names.map(([value, text]) => element("option", { value }, text)));
  select.addEventListener("change", onchange);
  if (names.length < 2) select.parentElement.hidden = true;
}

// --- Colours ---

function setColouring() {
  const name = byId("colour").value;
  chosen.colouring = COLOURINGS[name];
  const { palette, names, ends } = chosen.colouring;
  const legend = byId("legend");
  const swatch = (colour, tag = "i", className = "") => {
    const made = element(tag, { className });
    made.style.background = colour;
    return made;
  };
  if (names)
    legend.replaceChildren(
      ...names.map((text, at) => element("span", {}, swatch(palette()[at], "i", "dot"), text)),
    );
  else
    legend.replaceChildren(
      element(
        "span",
        {},
        ends[0],
        element("span", { className: "ramp" }, ...palette().map((colour) => swatch(colour))),
        ends[1],
      ),
    );
  redraw();
}

function hover(index, [x, y]) {
  const tip = byId("tip");
  tip.hidden = index === null;
  if (index === null) return;
  const item = items[index];
  tip.textContent = `${labelOf(item)} · ${summaryOf(item)}${figureOf(item) ? ` · ${figureOf(item)}` : ""}`;
  const box = tip.parentElement;
  tip.style.left = `${Math.max(4, Math.min(x + 12, box.clientWidth - tip.offsetWidth - 4))}px`;
  tip.style.top = `${y > 40 ? y - 32 : y + 14}px`;
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || /^(SELECT|INPUT)$/.test(event.target.tagName)) return;
  const page = Math.max(1, Math.floor(byId("list").clientHeight / ROW) - 1);
  const actions = {
    j: () => step(1),
    ArrowDown: () => step(1),
    k: () => step(-1),
    ArrowUp: () => step(-1),
    PageDown: () => step(page),
    PageUp: () => step(-page),
    Home: () => step(-items.length),
    End: () => step(items.length),
    f: () => trajectory.fit(),
    c: () => {
      const select = byId("colour");
      select.selectedIndex = (select.selectedIndex + 1) % select.options.length;
      setColouring();
    },
  };
  if (!(event.key in actions)) return;
  event.preventDefault();
  actions[event.key]();
}

function start() {
  const [title, ...rest] = (drive ? drive.source : map.header.map_id).split(", ");
  const judged = drive && (drive.judged_as === "drive" ? "judged as a drive" : "each judged by itself");
  const told = drive
    ? [`${items.length} images ${judged} in the map ${map.header.map_id}`, ...rest]
    : [map.header.source];
  byId("title").textContent = title;
  byId("subtitle").textContent = told.join(" · ");
  byId("origin").textContent = `netvlad ${report.version} · ${report.written}`;
  byId("tiles").replaceChildren(...tiles());
  byId("figures").replaceChildren(...figures());

  trajectory = new Trajectory(byId("trajectory"), { choose, hover });
  timeline = new Timeline(byId("timeline"), choose);
  list = new List(byId("list"), byId("rows"), choose);
  const same = (names) => names.map((name) => [name, name]);
  fillSelect("order", same(Object.keys(ORDERS)), fillList);
  fillSelect(
    "filter",
    Object.keys(FILTERS).map((name) => [name, `${name} (${items.filter(FILTERS[name]).length})`]),
    fillList,
  );
  fillSelect("colour", same(Object.keys(COLOURINGS)), setColouring);
  fillSelect(
    "view",
    same(map.has_poses ? (drive ? ["from above", "in order"] : ["from above"]) : ["in order"]),
    () => {
      trajectory.setView(byId("view").value);
      redraw("trajectory");
    },
  );
  byId("fit").addEventListener("click", () => trajectory.fit());
  document.addEventListener("keydown", onKey);
  let width = 0;
  new ResizeObserver(() => {
    if (document.body.clientWidth !== width) drawn = "";
    width = document.body.clientWidth;
    redraw();
  }).observe(document.body);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", setColouring);
  setColouring();
  fillList();
}

start();
