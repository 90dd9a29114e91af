// All images in the order of driving, a column each; of several in one column the worst is seen.

const WORST_FIRST = ["wrong", "missed", "silent", "right"];

class Timeline {
  constructor(canvas, choose) {
    this.canvas = canvas;
    this.layer = new Layer();
    const pick = (event) => {
      if (!event.buttons) return;
      const share = Math.max(0, Math.min(0.9999, event.offsetX / canvas.clientWidth));
      choose(Math.floor(share * items.length));
    };
    canvas.addEventListener("pointerdown", pick);
    canvas.addEventListener("pointermove", pick);
  }

  draw(colouring, chosen) {
    const { context, width, height } = prepared(this.canvas);
    if (!width) return;
    const key = [colouring.name, colouring.palette()];
    this.layer.copyTo(context, width, height, key, (layer) =>
      this.drawColumns(layer, width, height, colouring),
    );
    if (!chosen) return;
    const x = ((chosen.index + 0.5) * width) / items.length;
    context.fillStyle = css("ink");
    context.fillRect(x - 1, 2, 2, height - 4);
  }

  drawColumns(context, width, height, colouring) {
    const palette = [...colouring.palette(), css("silent")];
    const columns = Math.max(1, Math.min(items.length, Math.floor(width)));
    const rank = (item) => (item.verdict ? WORST_FIRST.indexOf(item.verdict) : 0);
    for (let column = 0; column < columns; column++) {
      const first = Math.floor((column * items.length) / columns);
      const last = Math.max(first + 1, Math.floor(((column + 1) * items.length) / columns));
      let worst = items[first];
      for (let index = first + 1; index < last; index++)
        if (rank(items[index]) < rank(worst)) worst = items[index];
      context.fillStyle = palette[colouring.of(worst) ?? palette.length - 1];
      context.fillRect((column * width) / columns, 8, Math.ceil(width / columns), height - 16);
    }
  }
}
