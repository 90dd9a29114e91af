"""The street fronts of houses: windows, doors, shop fronts and signs painted on their walls."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from town.plan import Building
from town.textures import FONT, noise, to_pixels, wall

PPM = 36.0  # pixels per metre of a street front
LAMPLIGHT = [(255, 206, 128), (255, 188, 96), (255, 226, 170), (236, 236, 220)]


@dataclass
class Canvas:
    """A wall under the brush: metres from its lower left corner, its own colour and what shines by itself."""

    albedo: np.ndarray  # (H, W, 3) uint8
    glow: np.ndarray  # (H, W, 3) uint8, black where nothing shines
    ppm: float

    def box(self, x: float, y: float, w: float, h: float) -> tuple[slice, slice]:
        rows, columns = self.albedo.shape[:2]
        top, bottom = rows - round((y + h) * self.ppm), rows - round(y * self.ppm)
        left, right = round(x * self.ppm), round((x + w) * self.ppm)
        return slice(max(top, 0), max(min(bottom, rows), 0)), slice(max(left, 0), max(min(right, columns), 0))

    def fill(self, x: float, y: float, w: float, h: float, colour: object, shade: float = 1.0) -> None:
        self.albedo[self.box(x, y, w, h)] = to_pixels(np.array(colour, float) * shade)

    def write(self, text: str, x: float, y: float, w: float, h: float, colour: tuple[int, ...]) -> None:
        """Text as large as fits into the box, in the middle of it."""
        (tw, th), _ = cv2.getTextSize(text, FONT, 1.0, 2)
        scale = min(0.85 * w * self.ppm / tw, 0.62 * h * self.ppm / th)
        at = (int((x + w / 2) * self.ppm - scale * tw / 2),
              int(self.albedo.shape[0] - (y + h / 2) * self.ppm + scale * th / 2))  # fmt: skip
        for image in (self.albedo, self.glow):
            cv2.putText(image, text, at, FONT, scale, colour, max(int(scale * 2.2), 1), cv2.LINE_AA)


@dataclass(frozen=True)
class Windows:
    """How the windows of one house look; metres."""

    width: float
    height: float
    spacing: float
    sill: float  # above the floor
    frame: tuple[int, int, int]
    bars: int
    surround: float
    shutters: tuple[int, int, int] | None
    lit: float


def paint_front(building: Building, width: float, lit: float, edge: int) -> tuple[np.ndarray, np.ndarray]:
    """A wall of `building` seen from the street, `width` metres long, as (albedo, glow)."""
    rng = np.random.default_rng([building.seed, edge])
    shape = (int(building.height * PPM), int(width * PPM))
    canvas = Canvas(
        to_pixels(wall(rng, building.material, building.wall, shape, PPM)),
        np.zeros((*shape, 3), np.uint8),
        PPM,
    )
    style = _window_style(np.random.default_rng(building.seed), building, lit)
    trim = building.trim
    if building.material in ("glass", "panel"):
        _curtain_wall(rng, canvas, building, width, style)
    else:
        if building.material == "timber":
            _timber(rng, canvas, building, width)
        for floor in range(1, building.floors):
            _floor_of_windows(rng, canvas, building, floor, width, style)
        if building.material in ("plaster", "stone") and building.seed % 3:
            for floor in range(1, building.floors):
                canvas.fill(0, floor * building.floor_height - 0.12, width, 0.2, trim, 0.92)
        if building.material in ("plaster", "stone") and building.seed % 2:  # quoins
            for y in np.arange(0, building.height, 0.8):
                canvas.fill(0, y, 0.5, 0.4, trim, 0.9)
                canvas.fill(width - 0.5, y, 0.5, 0.4, trim, 0.9)
    if building.shop and edge == 0:
        _shop(rng, canvas, building, width, lit)
    else:
        _ground_floor(rng, canvas, building, width, style, door=edge == 0)
    canvas.fill(0, building.height - 0.35, width, 0.35, trim, 0.86)
    canvas.fill(0, building.height - 0.42, width, 0.07, (60, 58, 56))
    return canvas.albedo, canvas.glow


def paint_side(building: Building, width: float) -> tuple[np.ndarray, np.ndarray]:
    """A wall no street runs along: bare, but for the weather."""
    ppm = 10.0
    shape = (int(building.height * ppm), int(width * ppm))
    rng = np.random.default_rng([building.seed, 9])
    material = "plaster" if building.material in ("timber", "glass", "panel") else building.material
    bare = wall(rng, material, building.wall, shape, ppm) * 0.9
    return to_pixels(bare), np.zeros((*shape, 3), np.uint8)


def _window_style(rng: np.random.Generator, building: Building, lit: float) -> Windows:
    tall = building.material in ("plaster", "stone") and rng.random() < 0.6
    width = float(rng.uniform(0.95, 1.45))
    frame = (240, 240, 236) if rng.random() < 0.65 else building.trim
    shutters = None
    if building.material in ("plaster", "timber") and rng.random() < 0.5:
        shutters = ((52, 92, 72), (120, 54, 46), (70, 92, 126), (110, 84, 58))[int(rng.integers(4))]
    return Windows(
        width=width,
        height=float(rng.uniform(1.7, 2.0) if tall else rng.uniform(1.2, 1.5)),
        spacing=width + float(rng.uniform(0.9, 1.5)) + (0.5 if shutters else 0.0),
        sill=0.55 if tall else 0.95,
        frame=frame,
        bars=int(rng.integers(1, 4)),
        surround=float(rng.choice([0.0, 0.12, 0.18])),
        shutters=shutters,
        lit=lit,
    )


def _window(
    rng: np.random.Generator, canvas: Canvas, x: float, y: float, w: float, h: float, style: Windows
) -> None:
    box = canvas.box(x, y, w, h)
    rows, columns = box[0].stop - box[0].start, box[1].stop - box[1].start
    if rows < 4 or columns < 4:
        return
    # Glass reflects the sky: light above, dark below, each pane a little different.
    fall = np.linspace(1.25, 0.7, rows)[:, None, None] * np.array((74, 90, 108)) * rng.uniform(0.75, 1.25)
    pane = np.broadcast_to(fall, (rows, columns, 3)).copy()
    curtain = rng.random()
    if curtain < 0.35:
        side = max(int(columns * rng.uniform(0.14, 0.3)), 1)
        cloth = np.array((214, 208, 196)) * rng.uniform(0.6, 0.9)
        pane[:, :side] = pane[:, -side:] = cloth
    elif curtain < 0.5:
        pane[: int(rows * rng.uniform(0.2, 0.6))] = np.array((196, 190, 176)) * rng.uniform(0.7, 1.0)
    canvas.albedo[box] = to_pixels(pane)
    if rng.random() < style.lit:
        colour = np.array(LAMPLIGHT[int(rng.integers(len(LAMPLIGHT)))]) * rng.uniform(0.55, 1.0)
        canvas.glow[box] = to_pixels(
            colour * np.linspace(1.0, 0.75, rows)[:, None, None] * (0.55 + 0.45 * pane / 200)
        )
    rail = 0.07
    strips = [(x, y, w, rail), (x, y + h - rail, w, rail), (x, y, rail, h), (x + w - rail, y, rail, h)]
    if style.bars >= 2:
        strips.append((x + w / 2 - rail / 2, y, rail, h))
    if style.bars != 2:
        strips.append((x, y + 0.68 * h, w, 0.05))
    for strip in strips:
        canvas.fill(*strip, style.frame, 0.95)
        canvas.glow[canvas.box(*strip)] = 0
    canvas.fill(x, y + h - 0.05, w, 0.05, (40, 38, 38))  # the lintel's shadow
    canvas.fill(x - 0.08, y - 0.1, w + 0.16, 0.1, (196, 192, 184))
    canvas.fill(x - 0.08, y - 0.14, w + 0.16, 0.04, (84, 80, 76))


def _places(width: float, spacing: float) -> np.ndarray:
    """Centres of as many windows as fit into `width`."""
    count = max(int((width - 0.6) / spacing), 1)
    return (np.arange(count) + 0.5) * width / count


def _floor_of_windows(
    rng: np.random.Generator, canvas: Canvas, building: Building, floor: int, width: float, style: Windows
) -> None:
    y = floor * building.floor_height + style.sill
    height = min(style.height, building.floor_height - style.sill - 0.25)
    for centre in _places(width, style.spacing):
        x = centre - style.width / 2
        if style.surround:
            s = style.surround
            canvas.fill(x - s, y - s, style.width + 2 * s, height + 2 * s, building.trim)
        _window(rng, canvas, x, y, style.width, height, style)
        if style.shutters:
            for side in (x - 0.5, x + style.width + 0.06):
                canvas.fill(side, y, 0.44, height, style.shutters)
                for slat in np.arange(y + 0.08, y + height - 0.05, 0.12):
                    canvas.fill(side + 0.05, slat, 0.34, 0.03, style.shutters, 0.7)


def _curtain_wall(
    rng: np.random.Generator, canvas: Canvas, building: Building, width: float, style: Windows
) -> None:
    """Offices: bands of glass, floor after floor."""
    band = 0.72 if building.material == "glass" else 0.5
    module = (1.2, 1.5, 2.4)[building.seed % 3]
    tint = (
        np.array(building.wall) * 0.55 + np.array((30, 40, 48))
        if building.material == "glass"
        else np.array((70, 84, 98))
    )
    for floor in range(1, building.floors):
        y, h = floor * building.floor_height + 0.25 + 0.3 * (1 - band), band * building.floor_height
        for x in np.arange(0.35, width - 0.35, module):
            w = min(module - 0.1, width - 0.35 - x)
            box = canvas.box(x, y, w, h)
            rows = box[0].stop - box[0].start
            shade = np.linspace(1.35, 0.75, rows)[:, None, None] * rng.uniform(0.8, 1.2)
            canvas.albedo[box] = to_pixels(np.broadcast_to(shade * tint, canvas.albedo[box].shape))
            if rng.random() < 0.35:
                canvas.fill(x, y + h * rng.uniform(0.4, 0.8), w, h * 0.2, (190, 192, 190), 0.8)
            if rng.random() < style.lit:
                colour = np.array((226, 236, 240)) * rng.uniform(0.5, 0.9)
                canvas.glow[box] = to_pixels(np.broadcast_to(colour, canvas.glow[box].shape))
        if building.seed % 2:
            canvas.fill(0, y - 0.3, width, 0.16, building.trim)


def _timber(rng: np.random.Generator, canvas: Canvas, building: Building, width: float) -> None:
    """Beams in front of the plaster, from the first floor up."""
    beam = ((74, 48, 34), (52, 40, 36), (110, 44, 34))[building.seed % 3]
    for floor in range(1, building.floors + 1):
        canvas.fill(0, floor * building.floor_height - 0.1, width, 0.24, beam)
    posts = np.linspace(0, width - 0.2, max(int(width / 1.1), 2))
    rows = canvas.albedo.shape[0]
    for i, x in enumerate(posts):
        canvas.fill(x, building.floor_height, 0.2, building.height, beam)
        if i + 1 < len(posts) and rng.random() < 0.55:
            floor = int(rng.integers(1, building.floors)) if building.floors > 1 else 1
            a, b = (x, floor * building.floor_height), (posts[i + 1], (floor + 1) * building.floor_height)
            flip = rng.random() < 0.5
            ends = [(a[0], b[1] if flip else a[1]), (b[0], a[1] if flip else b[1])]
            points = [(int(px * PPM), int(rows - py * PPM)) for px, py in ends]
            cv2.line(canvas.albedo, points[0], points[1], beam, int(0.17 * PPM), cv2.LINE_AA)


def _ground_floor(
    rng: np.random.Generator, canvas: Canvas, building: Building, width: float, style: Windows, door: bool
) -> None:
    canvas.fill(0, 0, width, 0.5, building.wall, 0.62)  # plinth
    centres = _places(width, max(style.spacing, 1.9))
    entrance = int(rng.integers(len(centres))) if door else -1
    for i, centre in enumerate(centres):
        if i != entrance:
            x, h = centre - style.width / 2, min(style.height, building.floor_height - 1.2)
            canvas.fill(x - 0.1, 0.9, style.width + 0.2, h + 0.2, building.trim, 0.95)
            _window(rng, canvas, x, 1.0, style.width, h, style)
            continue
        colour = ((98, 58, 38), (44, 74, 60), (40, 56, 92), (120, 34, 34), (60, 60, 62))[int(rng.integers(5))]
        x = centre - 0.6
        canvas.fill(x - 0.18, 0, 1.56, 2.62, building.trim)
        canvas.fill(x, 0, 1.2, 2.1, colour)
        for px, py in ((0.12, 0.25), (0.66, 0.25), (0.12, 1.15), (0.66, 1.15)):
            canvas.fill(x + px, py, 0.42, 0.75, colour, 0.72)
        _window(rng, canvas, x, 2.14, 1.2, 0.36, style)
        canvas.fill(x + 1.02, 0.98, 0.08, 0.1, (220, 200, 120))
        canvas.fill(x - 0.3, 0, 1.8, 0.14, (150, 148, 142))


def _shop(rng: np.random.Generator, canvas: Canvas, building: Building, width: float, lit: float) -> None:
    colour, height = building.shop_colour, min(building.floor_height, 3.1)
    sign = 0.62
    canvas.fill(0.15, 0, width - 0.3, height - sign, colour, 0.7)
    canvas.fill(0.15, 0, width - 0.3, 0.45, colour, 0.5)
    panes = max(int(width / 2.3), 2)
    entrance = int(rng.integers(panes))
    pitch = (width - 0.5) / panes
    shine = lit > 0
    for i in range(panes):
        x, sill = 0.25 + i * pitch, 0.05 if i == entrance else 0.5
        top = height - sign - 0.12
        box = canvas.box(x + 0.06, sill, pitch - 0.12, top - sill)
        rows, columns = box[0].stop - box[0].start, box[1].stop - box[1].start
        inside = (
            np.linspace(1.2, 0.7, rows)[:, None, None] * np.array((92, 98, 102)) * rng.uniform(0.85, 1.15)
        )
        inside = inside + 10 * noise(rng, (rows, columns), 0.6 * PPM, 2)[..., None]
        canvas.albedo[box] = to_pixels(inside)
        for _ in range(int(rng.integers(4, 9)) if i != entrance else 0):  # goods on display
            w, h = rng.uniform(0.12, 0.4, 2)
            gx = rng.uniform(x + 0.1, x + pitch - 0.1 - w)
            canvas.fill(gx, sill + 0.04 + rng.integers(0, 3) * 0.5, w, h, rng.integers(50, 235, 3))
        if i == entrance:
            canvas.fill(x + pitch / 2 - 0.04, 0.05, 0.08, top - 0.05, colour, 0.6)
        if shine:
            glow = canvas.albedo[box].astype(float) * (1.1, 0.98, 0.72) + (100, 78, 40)
            canvas.glow[box] = to_pixels(glow)
    canvas.fill(0.1, height - sign, width - 0.2, sign, colour)
    canvas.fill(0.1, height - sign, width - 0.2, 0.05, colour, 0.55)
    if shine:
        canvas.glow[canvas.box(0.1, height - sign, width - 0.2, sign)] = to_pixels(np.array(colour) * 0.75)
    ink = (250, 246, 232) if sum(colour) < 460 else (40, 30, 24)
    canvas.write(building.shop or "", 0.1, height - sign, width - 0.2, sign, ink)
