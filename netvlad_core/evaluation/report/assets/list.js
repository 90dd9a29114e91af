// The list: as many rows as are seen, moved along with the scroll.

const ROW = 54; // CSS pixels, as in the style

class List {
  constructor(box, rows, choose) {
    Object.assign(this, { box, rows, choose, order: [], pool: [] });
    box.addEventListener("scroll", () => redraw("list"));
  }

  setOrder(order) {
    this.order = order;
    this.rows.style.height = `${order.length * ROW}px`;
    this.box.scrollTop = 0;
  }

  /** Bring an item into sight. */
  reveal(item) {
    const top = this.order.indexOf(item) * ROW;
    if (top < 0) return;
    const { scrollTop, clientHeight } = this.box;
    if (top < scrollTop) this.box.scrollTop = top;
    else if (top + ROW > scrollTop + clientHeight) this.box.scrollTop = top + ROW - clientHeight;
  }

  draw(colouring, chosen) {
    const first = Math.max(0, Math.floor(this.box.scrollTop / ROW) - 1);
    const count = Math.min(this.order.length - first, Math.ceil(this.box.clientHeight / ROW) + 2);
    while (this.pool.length < count) this.pool.push(this.makeRow());
    const colours = { colouring, palette: colouring.palette() };
    this.box.removeAttribute("aria-activedescendant");
    this.pool.forEach((row, number) => {
      const item = number < count ? this.order[first + number] : null;
      row.element.hidden = !item;
      if (item) this.fill(row, item, first + number, colours, item === chosen);
    });
  }

  makeRow() {
    const row = {
      canvas: element("canvas", { width: 120, height: 90 }),
      name: element("div", { className: "name" }),
      dot: element("i", { className: "dot" }),
      what: element("span"),
      figure: element("div", { className: "figure" }),
    };
    const text = element("div", {}, row.name, element("div", { className: "what" }, row.dot, row.what));
    row.element = element("div", { className: "row", role: "option" }, row.canvas, text, row.figure);
    row.element.addEventListener("click", () => this.choose(row.item.index));
    this.rows.append(row.element);
    return row;
  }

  fill(row, item, position, { colouring, palette }, isChosen) {
    if (row.item !== item) {
      row.item = item;
      row.isDrawn = false;
      row.element.id = `item-${item.index}`;
      row.element.setAttribute("aria-posinset", position + 1);
      row.element.setAttribute("aria-setsize", this.order.length);
      row.name.textContent = labelOf(item);
      row.element.title = item.name;
      row.what.textContent = summaryOf(item);
      row.figure.textContent = figureOf(item);
      row.canvas.getContext("2d").clearRect(0, 0, 120, 90);
    }
    if (!row.isDrawn)
      row.isDrawn = itemPictures.draw(row.canvas.getContext("2d"), pictureOf(item), 0, 0, 120, 90);
    row.element.style.transform = `translateY(${position * ROW}px)`;
    row.dot.style.background = palette[colouring.of(item)] || css("silent");
    row.element.setAttribute("aria-selected", isChosen);
    if (isChosen) this.box.setAttribute("aria-activedescendant", row.element.id);
  }
}

/** What became of an image, in a few words. */
function summaryOf(item) {
  if (!drive)
    return item.place === null ? `place ${item.number}` : `place ${item.number}, like ${item.place}`;
  return item.verdict && item.verdict !== "right" ? VERDICTS[item.verdict] : STATES[item.state];
}

function figureOf(item) {
  if (!drive) return shown(item.similarity);
  return item.error !== null ? shown(item.error, "m") : item.probability ? percent(item.probability, 0) : "";
}
