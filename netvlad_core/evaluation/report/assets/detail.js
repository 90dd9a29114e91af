// The chosen image: beside its place, with matches, belief and figures.

const GAP = 8; // CSS pixels between pictures

function drawDetail(box, item) {
  const shownMatch = shownPlace();
  box.replaceChildren(
    element("h2", { title: item.name }, labelOf(item)),
    stateLine(item),
    ...pictures(item, shownMatch),
    ...(drive ? beliefAlongMap(item) : []),
    ...matchTable(item, shownMatch),
    facts(item),
  );
}

function stateLine(item) {
  const line = element("div", { className: "state" });
  if (drive) {
    const colour = css(item.verdict || STATES[item.state].toLowerCase());
    const dot = element("i", { className: "dot" });
    dot.style.background = colour;
    const verdict = item.verdict ? ` · ${VERDICTS[item.verdict]}` : "";
    line.append(element("span", {}, dot, element("b", {}, STATES[item.state]), verdict));
    if (item.reason) line.append(element("span", { className: "note" }, item.reason));
  } else {
    line.append(element("span", {}, `Place ${item.number} of ${map.header.places}`));
  }
  return line;
}

/** Query, place and, where the answer is no right one, the place that is: one canvas, and captions below. */
function pictures(item, shownMatch) {
  const nearest = item.nearest ?? null;
  const isMistaken = ["wrong", "missed"].includes(item.verdict) && nearest !== shownMatch;
  const similarity = (place) => {
    const match = item.matches.find(([other]) => other === place);
    return match ? `similarity ${match[1].toFixed(3)}` : "not among the matches";
  };
  const away = (place) => {
    const metres = between(item.truth, placeAt(place));
    return metres === null ? "" : `, ${shown(metres, "m")} away`;
  };
  const panels = [
    [drive ? "Query" : `Place ${item.number}`, `${shown(item.time)} s`, itemPictures, pictureOf(item)],
  ];
  if (shownMatch !== null) {
    const title = !drive
      ? `Looks like place ${shownMatch}`
      : shownMatch === item.place
        ? `Place ${shownMatch}`
        : `Match ${shownMatch}`;
    panels.push([
      title,
      similarity(shownMatch) + away(shownMatch),
      placePictures,
      pictureOfPlace(shownMatch),
    ]);
  }
  if (isMistaken && nearest !== null)
    panels.push([
      `True place ${nearest}`,
      similarity(nearest) + away(nearest),
      placePictures,
      pictureOfPlace(nearest),
    ]);
  const captions = element(
    "div",
    { className: "captions" },
    ...panels.map(([title, text]) => element("div", {}, element("b", {}, title), text)),
  );
  if (!itemPictures.values && !placePictures.values) return [captions];
  const canvas = element("canvas", {
    className: "pair",
    title: "Click to enlarge",
    onclick: () => enlarge(item, panels, shownMatch),
  });
  requestAnimationFrame(() => drawPictures(canvas, item, panels, shownMatch));
  return [canvas, captions];
}

function drawPictures(canvas, item, panels, shownMatch) {
  const width = (canvas.clientWidth - GAP * (panels.length - 1)) / panels.length;
  const height = width / itemPictures.aspect;
  canvas.style.height = `${height}px`;
  const { context } = prepared(canvas);
  panels.forEach(([, , sheets, number], panel) => {
    const x = panel * (width + GAP);
    if (sheets.draw(context, number, x, 0, width, height)) return;
    context.fillStyle = css("quiet");
    context.font = "12px system-ui, sans-serif";
    context.textAlign = "center";
    if (number === null || number === undefined) context.fillText("no picture", x + width / 2, height / 2);
  });
  if (item.pairs && shownMatch === item.place) drawPairs(context, item.pairs, width, height);
}

function enlarge(item, panels, shownMatch) {
  const canvas = element("canvas");
  const dialog = byId("large");
  dialog.replaceChildren(canvas);
  dialog.onclick = () => dialog.close();
  dialog.showModal();
  drawPictures(canvas, item, panels, shownMatch);
}

/** Lines between what verification sees in both images. */
function drawPairs(context, pairs, width, height) {
  const bytes = Uint8Array.from(atob(pairs), (letter) => letter.charCodeAt(0));
  context.lineWidth = 1;
  for (let at = 0; at < bytes.length; at += 4) {
    const [x, y, otherX, otherY] = bytes.subarray(at, at + 4);
    const from = [(x / 255) * width, (y / 255) * height];
    const to = [width + GAP + (otherX / 255) * width, (otherY / 255) * height];
    context.strokeStyle = context.fillStyle = `hsl(${(at * 37) % 360} 85% 62%)`;
    context.beginPath();
    context.moveTo(...from);
    context.lineTo(...to);
    context.stroke();
    for (const [px, py] of [from, to]) context.fillRect(px - 1.5, py - 1.5, 3, 3);
  }
}

/** Probability of each part of the map, the matches as ticks below, the true place as a dashed line. */
function beliefAlongMap(item) {
  const [width, height, base] = [344, 88, 60];
  const count = map.x.length;
  const x = (place) => (place / Math.max(1, count)) * width;
  const chart = svg("svg", {
    viewBox: `0 0 ${width} ${height}`,
    role: "img",
    "aria-label": "Belief along the map",
  });
  chart.append(svg("rect", { class: "ground", x: 0, y: 0, width, height: base }));
  if (item.belief) {
    const parts = drive.parts;
    const [others, ...standing] = item.belief;
    const most = Math.max(...standing.map(([, probability]) => probability), others);
    const bar = (part, probability) => {
      const tall = Math.max(0.5, (probability / most) * (base - 12));
      const wide = Math.max(1.5, x(parts[part + 1]) - x(parts[part]));
      chart.append(
        svg("rect", { class: "bars", x: x(parts[part]), y: base - tall, width: wide, height: tall }),
      );
    };
    chart.append(
      svg("rect", {
        class: "bars",
        x: 0,
        y: base - Math.max(0.5, (others / most) * (base - 12)),
        width,
        height: Math.max(0.5, (others / most) * (base - 12)),
        opacity: 0.45,
      }),
    );
    standing.forEach(([part, probability]) => bar(part, probability));
    chart.append(svg("text", { x: 4, y: 12 }, `highest ${percent(most, most < 0.1 ? 1 : 0)}`));
  }
  if (item.nearest !== null && item.nearest !== undefined)
    chart.append(
      svg("line", { class: "true", x1: x(item.nearest + 0.5), x2: x(item.nearest + 0.5), y1: 0, y2: base }),
    );
  item.matches.forEach(([place, similarity]) => {
    const tall = 3 + 7 * Math.max(0, similarity / item.matches[0][1]);
    chart.append(
      svg("line", {
        class: "match",
        x1: x(place + 0.5),
        x2: x(place + 0.5),
        y1: base + 1,
        y2: base + 1 + tall,
      }),
    );
  });
  chart.append(svg("text", { x: 0, y: height - 4 }, "place 0"));
  chart.append(svg("text", { x: width, y: height - 4, "text-anchor": "end" }, `${count - 1}`));
  const where = item.nearest !== null && item.nearest !== undefined ? ", dashed: the true place" : "";
  const title = item.belief ? `Belief along the map` : "Matches along the map";
  return [
    element("h3", {}, title),
    chart,
    element(
      "p",
      { className: "note" },
      item.belief
        ? `Bars: where the filter believes the robot to be; ticks: matches${where}.`
        : `Ticks: matches${where}.`,
    ),
  ];
}

function matchTable(item, shownMatch) {
  if (!item.matches.length) return [];
  const hasInliers = item.matches.some(([, , inliers]) => inliers > 0);
  const hasMetres = placeAt(item.matches[0][0]) !== null && item.truth !== null;
  const best = Math.max(...item.matches.map(([, similarity]) => similarity), 1e-6);
  const head = [
    "place",
    placePictures.values ? "" : null,
    "similarity",
    hasInliers ? "inliers" : null,
    hasMetres ? "away" : null,
  ];
  const rows = item.matches.map(([place, similarity, inliers]) => {
    const canvas = placePictures.values ? element("canvas", { width: 80, height: 60 }) : null;
    if (canvas) placePictures.draw(canvas.getContext("2d"), pictureOfPlace(place), 0, 0, 80, 60);
    const bar = element("i", { className: "similarity" });
    bar.style.width = `${Math.round(46 * Math.max(0, similarity / best))}px`;
    const show = () => showPlace(place);
    return element(
      "tr",
      {
        tabIndex: 0,
        className: place === shownMatch ? "shown" : "",
        onclick: show,
        onkeydown: (event) => event.key === "Enter" && show(),
      },
      element("td", {}, `${place}`),
      canvas ? element("td", {}, canvas) : null,
      element("td", {}, bar, similarity.toFixed(3)),
      hasInliers ? element("td", {}, `${inliers}`) : null,
      hasMetres ? element("td", {}, shown(between(item.truth, placeAt(place)), "m")) : null,
    );
  });
  return [
    element("h3", {}, drive ? "Matches" : "Looks most alike elsewhere"),
    element(
      "table",
      { className: "matches" },
      element(
        "thead",
        {},
        element("tr", {}, ...head.filter((text) => text !== null).map((text) => element("th", {}, text))),
      ),
      element("tbody", {}, ...rows),
    ),
  ];
}

function facts(item) {
  const point = (position) => (position ? `${position[0].toFixed(2)}, ${position[1].toFixed(2)} m` : null);
  const named = drive
    ? {
        "position error": item.error === null ? null : shown(item.error, "m"),
        probability: percent(item.probability),
        "on the map": item.on_map === null ? null : percent(item.on_map),
        score: shown(item.score),
        "pose x, y": point(item.pose),
        "95 % ellipse, half axes": item.ellipse
          ? `${shown(item.ellipse[0])} × ${shown(item.ellipse[1], "m")}`
          : null,
        "true x, y": point(item.truth),
        time: `${shown(item.time)} s`,
        image: item.name,
      }
    : { "x, y": point(item.truth), time: `${shown(item.time)} s`, image: item.name };
  const list = element("dl", { className: "facts" });
  for (const [name, value] of Object.entries(named))
    if (value !== null) list.append(element("dt", {}, name), element("dd", {}, value));
  return list;
}
