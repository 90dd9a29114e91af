// Figures of the whole: tiles, curves, histograms, tables. Drawn as SVG, so that colours follow the theme.

const [WIDTH, HEIGHT] = [340, 210];
const FRAME = { left: 42, right: 322, top: 10, bottom: 176 };

function card(title, note, ...content) {
  return element(
    "section",
    { className: "card" },
    element("h2", {}, title),
    note ? element("p", { className: "note" }, note) : null,
    ...content,
  );
}

/** Axes with labels at some values; gives the chart and functions from values to pixels. */
function axes(
  label,
  [left, right],
  [low, high],
  xValues,
  yValues,
  xText = String,
  yText = String,
  names = ["", ""],
) {
  const x = (value) => FRAME.left + ((value - left) / (right - left || 1)) * (FRAME.right - FRAME.left);
  const y = (value) => FRAME.bottom - ((value - low) / (high - low || 1)) * (FRAME.bottom - FRAME.top);
  const chart = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": label });
  for (const value of yValues) {
    chart.append(svg("line", { class: "axis", x1: FRAME.left, x2: FRAME.right, y1: y(value), y2: y(value) }));
    chart.append(svg("text", { x: FRAME.left - 6, y: y(value) + 4, "text-anchor": "end" }, yText(value)));
  }
  for (const value of xValues)
    chart.append(svg("text", { x: x(value), y: FRAME.bottom + 16, "text-anchor": "middle" }, xText(value)));
  chart.append(svg("text", { x: FRAME.right, y: HEIGHT - 2, "text-anchor": "end" }, names[0]));
  return { chart, x, y };
}

const line = (points, x, y) =>
  points.map(([a, b], at) => `${at ? "L" : "M"}${x(a).toFixed(1)} ${y(b).toFixed(1)}`).join("");
const QUARTERS = [0, 0.25, 0.5, 0.75, 1];
const hundred = (value) => `${Math.round(100 * value)} %`;

function precisionRecallCard() {
  const { precision, recall, at_full_precision: full, given } = drive.curve;
  const lowest = Math.min(...precision, given[0]);
  const low = lowest > 0.9 ? 0.9 : lowest > 0.5 ? 0.5 : 0;
  const yValues = low === 0 ? QUARTERS : low === 0.5 ? [0.5, 0.75, 1] : [0.9, 0.95, 1];
  const { chart, x, y } = axes(
    "Precision over recall",
    [0, 1],
    [low, 1],
    QUARTERS,
    yValues,
    hundred,
    hundred,
    ["recall"],
  );
  const points = recall.map((value, at) => [value, precision[at]]);
  chart.append(svg("path", { class: "curve", d: line(points, x, y) }));
  chart.append(svg("circle", { class: "mark", cx: x(given[1]), cy: y(given[0]), r: 5 }));
  return card(
    "Precision and recall",
    `Of the named places, accepted from a threshold on the score. ${percent(full)} recall without a mistake; the ring marks the poses that were given.`,
    chart,
  );
}

function recallCard() {
  const shares = drive.recall;
  const lowest = Math.min(...shares);
  const low = lowest > 0.8 ? 0.8 : lowest > 0.5 ? 0.5 : 0;
  const yValues = low === 0 ? QUARTERS : low === 0.5 ? [0.5, 0.75, 1] : [0.8, 0.9, 1];
  const { chart, x, y } = axes(
    "Recall at N",
    [1, shares.length],
    [low, 1],
    [1, 5, 10, 15, 20],
    yValues,
    String,
    hundred,
    ["matches looked at"],
  );
  chart.append(
    svg("path", {
      class: "curve",
      d: line(
        shares.map((share, at) => [at + 1, share]),
        x,
        y,
      ),
    }),
  );
  const missing = drive.without_positive
    ? ` ${drive.without_positive} images have no correct place in the map.`
    : "";
  const at = [1, 5, 10].map((count) => `@${count} ${percent(shares[count - 1])}`).join(", ");
  return card(
    "Recall@N",
    `Each image by itself, correct within ${shown(drive.threshold)} m: ${at}.${missing}`,
    chart,
  );
}

function histogramCard(title, note, { edges, counts, is_open: isOpen }, unit) {
  const most = Math.max(...counts);
  const last = edges[edges.length - 1];
  const every = Math.max(1, Math.ceil((edges.length - 1) / 6));
  const { chart, x, y } = axes(
    title,
    [0, last],
    [0, most],
    edges.filter((_, at) => at % every === 0),
    [0, most],
    (value) => String(value),
    String,
    [unit],
  );
  counts.forEach((count, at) => {
    if (count)
      chart.append(
        svg("rect", {
          class: "bars",
          x: x(edges[at]) + 0.5,
          y: y(count),
          width: Math.max(1, x(edges[at + 1]) - x(edges[at]) - 1),
          height: FRAME.bottom - y(count),
        }),
      );
  });
  return card(title, note + (isOpen ? " The last bar holds all that is larger." : ""), chart);
}

function table(head, rows) {
  const cells = (row, tag) => element("tr", {}, ...row.map((text) => element(tag, {}, text)));
  return element(
    "table",
    {},
    head ? element("thead", {}, cells(head, "th")) : null,
    element("tbody", {}, ...rows.map((row) => cells(row, "td"))),
  );
}

const tableCard = (title, note, head, rows) => card(title, note, table(head, rows));
const countTable = (counts) =>
  table(
    null,
    [...counts].sort((a, b) => b[1] - a[1]).map(([reason, count]) => [reason, shown(count)]),
  );

function tiles() {
  const made = [];
  const add = (name, value, small = "", isBad = false) =>
    made.push(
      element(
        "div",
        { className: isBad ? "bad" : "" },
        element("dt", {}, name),
        element("dd", {}, value, small ? element("small", {}, ` ${small}`) : null),
      ),
    );
  const places = map.header.places;
  if (!drive) {
    add("places", shown(places));
    if (map.length !== null)
      add(
        "length of the drive",
        map.length >= 1000 ? `${(map.length / 1000).toFixed(2)} km` : `${shown(map.length)} m`,
      );
    if (map.header.spacing) add("between places", `${shown(map.header.spacing)} m`, "median");
    add(
      "on disk",
      `${(Object.values(map.files).reduce((sum, bytes) => sum + bytes, 0) / 1e6).toFixed(1)} MB`,
    );
    add(
      "numbers a place",
      shown(map.header.stored_dimension),
      map.header.stored_dimension < map.header.dimension ? `of ${map.header.dimension}` : "",
    );
    add("images", map.header.store_images);
    return made;
  }
  const { states, error, verdicts, times } = drive;
  add("answered", percent(states.LOCALIZED / items.length), `of ${items.length}`);
  if (error) {
    add("mean error", `${shown(error.mean)} m`);
    add("99 % below", `${shown(error.high)} m`);
    add("worst", `${shown(error.worst)} m`, "", error.worst > drive.threshold);
  }
  if (verdicts) {
    add("wrong poses", shown(verdicts.wrong || 0), "", verdicts.wrong > 0);
    if (drive.recall) add("Recall@1", percent(drive.recall[0]), "single image");
  } else {
    add("ambiguous", shown(states.AMBIGUOUS));
    add("lost", shown(states.LOST));
  }
  add("per image", `${shown(times.reduce((sum, stage) => sum + stage.median, 0))} ms`);
  return made;
}

function figures() {
  const made = [];
  if (drive) {
    if (drive.curve && drive.curve.precision.length) made.push(precisionRecallCard());
    if (drive.recall) made.push(recallCard());
    if (drive.errors)
      made.push(
        histogramCard(
          "Position errors",
          `Of ${drive.states.LOCALIZED} poses: median ${shown(drive.error.median)} m, mean ${shown(drive.error.mean)} m, 99 % below ${shown(drive.error.high)} m, worst ${shown(drive.error.worst)} m.`,
          drive.errors,
          "metres",
        ),
      );
    made.push(answersCard(), timeCard());
  } else if (map.spacings)
    made.push(
      histogramCard("Spacing of the places", "Metres from each place to the next.", map.spacings, "metres"),
    );
  const header = map.header;
  made.push(mapCard());
  const skipped = Object.entries(header.skipped);
  if (skipped.length) made.push(card("Left out of the map", "", countTable(skipped)));
  made.push(settingsCard());
  return made;
}

/** Counts by state, and why there is no pose. */
function answersCard() {
  const reasons = new Map();
  for (const { state, reason } of items)
    if (STATES[state] !== "LOCALIZED") reasons.set(reason, (reasons.get(reason) || 0) + 1);
  const first = items.find((item) => item.pose);
  const counts = [...STATES].reverse().map((name) => [name, shown(drive.states[name])]);
  const made = tableCard(
    "Answers",
    first ? `First pose after ${shown(first.time, "s")}.` : "No image has a pose.",
    null,
    counts,
  );
  if (reasons.size) made.append(element("h2", {}, "Why there is no pose"), countTable(reasons));
  return made;
}

function timeCard() {
  const rows = drive.times.map(({ stage, median, mean, high }) => [
    stage,
    shown(median),
    shown(mean),
    shown(high),
  ]);
  const made = tableCard(
    "Time for an image",
    "Milliseconds, one image at a time on the machine that wrote this page.",
    ["stage", "median", "mean", "95 % below"],
    rows,
  );
  const left = Object.entries(drive.left_out);
  made.append(
    element("h2", {}, "Left out"),
    element("p", { className: "note" }, left.length ? drive.remark : "Every image of the drive was used."),
  );
  if (left.length) made.append(countTable(left));
  return made;
}

function mapCard() {
  const { header, files, length } = map;
  const bytes = Object.values(files).reduce((sum, size) => sum + size, 0);
  const rows = [
    ["places", shown(header.places)],
    ["sessions", map.sessions.length > 1 ? map.sessions.join(", ") : null],
    [
      map.sessions.length > 1 ? "length of its drives" : "length of its drive",
      length === null ? null : shown(length, "m"),
    ],
    ["median spacing", header.spacing ? shown(header.spacing, "m") : null],
    ["numbers stored of a descriptor", `${header.stored_dimension} of ${header.dimension}`],
    ["images", header.store_images],
    ["size on disk", `${(bytes / 1e6).toFixed(1)} MB`],
  ];
  return tableCard(
    "The map",
    header.source,
    null,
    rows.filter(([, value]) => value !== null),
  );
}

function settingsCard() {
  const header = map.header;
  const named = {
    map: header.map_id,
    model: header.model_id,
    "map made of": header.source_fingerprint,
    "frame of the map": header.frame_id,
    ...(drive
      ? {
          queries: drive.source_fingerprint,
          "frame of the queries": drive.frame_id,
          "judged as": drive.judged_as,
          "correct within": `${drive.threshold} m`,
        }
      : {}),
    "written by": `netvlad ${report.version}`,
    written: report.written,
    ...report.settings,
    ...Object.fromEntries(
      Object.entries(map.files).map(([name, bytes]) => [name, `${(bytes / 1e6).toFixed(2)} MB`]),
    ),
  };
  const list = element("div", { className: "settings" });
  for (const [name, value] of Object.entries(named))
    list.append(
      element(
        "div",
        {},
        element("span", {}, name),
        element("span", {}, Array.isArray(value) ? value.join(", ") : String(value)),
      ),
    );
  return element(
    "section",
    { className: "card wide" },
    element("details", {}, element("summary", {}, "Fingerprints, settings and files"), list),
  );
}
