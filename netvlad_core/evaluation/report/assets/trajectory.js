// Map and queries seen from above, or in the order of driving; moved and zoomed.

const DOT = 3.2; // CSS pixels, radius

class Trajectory {
  constructor(canvas, { choose, hover }) {
    this.canvas = canvas;
    this.choose = choose;
    this.hover = hover;
    this.pointers = new Map();
    this.layer = new Layer();
    this.setView(map.has_poses ? "from above" : "in order");
    canvas.addEventListener("wheel", (event) => this.onWheel(event), { passive: false });
    for (const kind of ["pointerdown", "pointermove", "pointerup", "pointercancel", "pointerleave"])
      canvas.addEventListener(kind, (event) => this.onPointer(event));
    canvas.addEventListener("dblclick", () => this.fit());
  }

  /** "from above": metres in the map; "in order": number of the image, number of the place. */
  setView(name) {
    this.isOrder = name === "in order";
    this.points = items.map((item) =>
      this.isOrder
        ? item.place === null
          ? null
          : [item.index, item.place]
        : item.truth || item.pose || placeAt(item.place),
    );
    this.isFitted = false;
  }

  fit() {
    this.isFitted = false;
    redraw("trajectory");
  }

  /** Choose centre and scale so that everything is seen. */
  fitTo(width, height) {
    let left = Infinity,
      right = -Infinity,
      low = Infinity,
      high = -Infinity;
    const take = (x, y) => {
      if (x === null) return;
      left = Math.min(left, x);
      right = Math.max(right, x);
      low = Math.min(low, y);
      high = Math.max(high, y);
    };
    for (const point of this.points) if (point) take(point[0], point[1]);
    if (this.isOrder)
      [
        [0, 0],
        [items.length, map.x.length],
      ].forEach(([x, y]) => take(x, y));
    else map.x.forEach((x, place) => take(x, map.y[place]));
    if (left > right) [left, right, low, high] = [0, 1, 0, 1];
    this.middle = [(left + right) / 2, (low + high) / 2];
    const scales = [(width - 60) / Math.max(right - left, 1e-3), (height - 60) / Math.max(high - low, 1e-3)];
    const both = Math.min(...scales, 200);
    this.scale = this.isOrder ? scales : [both, both];
    this.isFitted = true;
  }

  toScreen(point) {
    return [
      this.width / 2 + (point[0] - this.middle[0]) * this.scale[0],
      this.height / 2 - (point[1] - this.middle[1]) * this.scale[1],
    ];
  }

  zoom(factor, x, y) {
    const before = [(x - this.width / 2) / this.scale[0], (this.height / 2 - y) / this.scale[1]];
    this.scale = this.scale.map((scale) => Math.min(1e5, Math.max(1e-6, scale * factor)));
    const after = [(x - this.width / 2) / this.scale[0], (this.height / 2 - y) / this.scale[1]];
    this.middle = this.middle.map((value, axis) => value + before[axis] - after[axis]);
    redraw("trajectory");
  }

  onWheel(event) {
    event.preventDefault();
    this.zoom(Math.exp(-0.0016 * event.deltaY), event.offsetX, event.offsetY);
  }

  onPointer(event) {
    const at = [event.offsetX, event.offsetY];
    const last = this.pointers.get(event.pointerId);
    if (event.type === "pointerdown") {
      this.canvas.setPointerCapture(event.pointerId);
      this.pointers.set(event.pointerId, at);
      this.moved = this.pointers.size > 1 ? Infinity : 0;
    } else if (event.type === "pointermove" && last) {
      const others = [...this.pointers].filter(([id]) => id !== event.pointerId);
      this.moved += Math.hypot(at[0] - last[0], at[1] - last[1]);
      const share = others.length ? 0.5 : 1; // two fingers: each moves half, and both zoom
      this.middle[0] -= (share * (at[0] - last[0])) / this.scale[0];
      this.middle[1] += (share * (at[1] - last[1])) / this.scale[1];
      this.pointers.set(event.pointerId, at);
      if (others.length) {
        const other = others[0][1];
        const apart = (point) => Math.max(1, Math.hypot(point[0] - other[0], point[1] - other[1]));
        this.zoom(apart(at) / apart(last), (at[0] + other[0]) / 2, (at[1] + other[1]) / 2);
      }
      if (this.moved > 4) this.canvas.classList.add("dragging");
      redraw("trajectory");
    } else if (event.type === "pointermove") {
      this.hover(this.nearest(at), at);
    } else {
      if (event.type === "pointerup" && last && this.moved <= 4) {
        const found = this.nearest(at);
        if (found !== null) this.choose(found);
      }
      if (event.type === "pointerleave") this.hover(null, at);
      this.pointers.delete(event.pointerId);
      this.canvas.classList.remove("dragging");
    }
  }

  /** Index of the item nearest to a position on the screen, null if none is within 14 pixels. */
  nearest(at) {
    let best = null,
      least = 14;
    this.points.forEach((point, index) => {
      if (!point) return;
      const [x, y] = this.toScreen(point);
      const away = Math.hypot(x - at[0], y - at[1]);
      if (away < least) [best, least] = [index, away];
    });
    return best;
  }

  draw(colouring, chosen) {
    const { context, width, height } = prepared(this.canvas);
    if (!width || !height) return;
    Object.assign(this, { width, height });
    if (!this.isFitted) this.fitTo(width, height);
    const key = [...this.middle, ...this.scale, this.isOrder, colouring.name, colouring.palette()];
    this.layer.copyTo(context, width, height, key, (layer) => {
      if (this.isOrder) this.drawTrueOrder(layer);
      else this.drawMap(layer);
      this.drawDots(layer, colouring);
      if (this.isOrder) this.drawAxes(layer);
      else this.drawScale(layer);
    });
    if (chosen) this.drawChosen(context, chosen);
  }

  drawMap(context) {
    context.strokeStyle = context.fillStyle = css("map");
    context.lineWidth = 1;
    context.globalAlpha = 0.55;
    const longest = 6 * (map.header.spacing || 1) + 5; // metres: a longer step is another part of the drive
    context.beginPath();
    let before = null;
    map.x.forEach((x, place) => {
      const here = placeAt(place);
      if (!here) return (before = null);
      const [sx, sy] = this.toScreen(here);
      const isOneDrive = !map.session_of || map.session_of[place] === map.session_of[place - 1];
      if (before && isOneDrive && between(before, here) < longest) context.lineTo(sx, sy);
      else context.moveTo(sx, sy);
      before = here;
    });
    context.stroke();
    context.globalAlpha = 1;
    if (!drive) return;
    const size = this.scale[0] * (map.header.spacing || 1) > 5 ? 3 : 2;
    map.x.forEach((x, place) => {
      if (x === null) return;
      const [sx, sy] = this.toScreen([x, map.y[place]]);
      if (sx > -5 && sy > -5 && sx < this.width + 5 && sy < this.height + 5)
        context.fillRect(sx - size / 2, sy - size / 2, size, size);
    });
  }

  drawTrueOrder(context) {
    context.strokeStyle = css("map");
    context.lineWidth = 6;
    context.globalAlpha = 0.45;
    context.beginPath();
    items.forEach((item) => {
      if (item.nearest === null || item.nearest === undefined) return;
      const [x, y] = this.toScreen([item.index, item.nearest]);
      context.moveTo(x - 3, y);
      context.lineTo(x + 3, y);
    });
    context.stroke();
    context.globalAlpha = 1;
  }

  drawDots(context, colouring) {
    const palette = colouring.palette();
    const stamps = [...palette, css("silent")].map((colour) => this.stamp(colour));
    const half = stamps[0].half;
    const late = []; // failures lie on top
    const put = (index, bucket) => {
      const [x, y] = this.toScreen(this.points[index]);
      if (x < -9 || y < -9 || x > this.width + 9 || y > this.height + 9) return;
      context.drawImage(stamps[bucket ?? palette.length].image, x - half, y - half, 2 * half, 2 * half);
    };
    items.forEach((item, index) => {
      if (!this.points[index]) return;
      if (item.verdict === "wrong" || item.verdict === "missed") late.push(item);
      else put(index, colouring.of(item));
    });
    context.lineWidth = 1;
    context.strokeStyle = css("wrong");
    context.beginPath();
    for (const item of late) {
      const place = placeAt(item.place);
      if (this.isOrder || item.verdict !== "wrong" || !item.truth || !place) continue;
      context.moveTo(...this.toScreen(item.truth));
      context.lineTo(...this.toScreen(place));
    }
    context.stroke();
    for (const item of late) put(item.index, colouring.of(item));
  }

  /** A dot as a small picture: drawing thousands of those is quick. */
  stamp(colour) {
    const ratio = window.devicePixelRatio || 1;
    const half = DOT + 1;
    this.stamps ||= new Map();
    const key = `${colour} ${ratio}`;
    if (!this.stamps.has(key)) {
      const image = element("canvas", {
        width: Math.ceil(2 * half * ratio),
        height: Math.ceil(2 * half * ratio),
      });
      const context = image.getContext("2d");
      context.scale(ratio, ratio);
      context.fillStyle = colour;
      context.arc(half, half, DOT, 0, 7);
      context.fill();
      this.stamps.set(key, { image, half });
    }
    return this.stamps.get(key);
  }

  drawChosen(context, item) {
    const point = this.points[item.index];
    if (!point) return;
    const at = this.toScreen(point);
    const place = this.isOrder ? null : placeAt(shownPlace());
    context.lineWidth = 2;
    context.strokeStyle = context.fillStyle = css("ink");
    if (place) {
      const [x, y] = this.toScreen(place);
      context.beginPath();
      context.moveTo(...at);
      context.lineTo(x, y);
      context.stroke();
      context.fillRect(x - 4.5, y - 4.5, 9, 9);
    }
    if (!this.isOrder && item.pose && item.ellipse) {
      const [long, short, angle] = item.ellipse;
      const [x, y] = this.toScreen(item.pose);
      context.strokeStyle = css("accent");
      context.lineWidth = 1.5;
      context.beginPath();
      context.ellipse(x, y, long * this.scale[0], short * this.scale[0], -angle, 0, 7);
      context.moveTo(x - 4, y - 4);
      context.lineTo(x + 4, y + 4);
      context.moveTo(x - 4, y + 4);
      context.lineTo(x + 4, y - 4);
      context.stroke();
    }
    context.strokeStyle = css("ink");
    context.lineWidth = 2;
    context.beginPath();
    context.arc(at[0], at[1], 8, 0, 7);
    context.stroke();
  }

  drawScale(context) {
    const most = 110 / this.scale[0];
    const power = 10 ** Math.floor(Math.log10(most));
    const length = power * (most / power >= 5 ? 5 : most / power >= 2 ? 2 : 1);
    const pixels = length * this.scale[0];
    const [x, y] = [16, this.height - 14];
    context.strokeStyle = css("quiet");
    context.lineWidth = 1.5;
    context.beginPath();
    context.moveTo(x, y - 4);
    context.lineTo(x, y);
    context.lineTo(x + pixels, y);
    context.lineTo(x + pixels, y - 4);
    context.stroke();
    this.label(
      context,
      length >= 1000 ? `${length / 1000} km` : `${Number(length.toPrecision(2))} m`,
      x + pixels + 8,
      y,
    );
  }

  drawAxes(context) {
    this.label(context, "image, in the order of driving →", 16, this.height - 10);
    this.label(context, "↑ place of the map", 16, 20);
  }

  label(context, text, x, y) {
    context.font = "12px system-ui, sans-serif";
    context.lineWidth = 3;
    context.strokeStyle = css("card");
    context.strokeText(text, x, y);
    context.fillStyle = css("quiet");
    context.fillText(text, x, y);
  }
}
