"""Procedural pictures: noise, wall materials, roofs, trees, cars, signs. All uint8 RGB or RGBA."""

from __future__ import annotations

import cv2
import numpy as np

FONT = cv2.FONT_HERSHEY_DUPLEX


def noise(rng: np.random.Generator, shape: tuple[int, int], cell: float, octaves: int = 3) -> np.ndarray:
    """Smooth float32 noise about 0 with standard deviation 1; `cell` is the coarsest feature in pixels."""
    result = np.zeros(shape, np.float32)
    for octave in range(octaves):
        scale = max(cell / 2**octave, 1.0)
        coarse = rng.standard_normal((int(shape[0] / scale) + 2, int(shape[1] / scale) + 2)).astype(
            np.float32
        )
        result += cv2.resize(coarse, shape[::-1], interpolation=cv2.INTER_CUBIC) * 0.6**octave
    return result / max(float(result.std()), 1e-6)


def to_pixels(values: np.ndarray) -> np.ndarray:
    return np.clip(values, 0, 255).astype(np.uint8)


def wall(
    rng: np.random.Generator, material: str, colour: tuple[int, ...], shape: tuple[int, int], ppm: float
) -> np.ndarray:
    """(H, W, 3) float32 of bare wall at `ppm` pixels per metre."""
    height, width = shape
    value: np.ndarray = np.ones(shape, np.float32)
    if material == "brick":
        course = max(round(0.085 * ppm), 3)
        rows, columns = np.mgrid[0:height, 0:width]
        row = rows // course
        brick = (columns + (row % 2) * course * 3 // 2) // (course * 3)
        table = rng.normal(1.0, 0.085, (64, 64)).astype(np.float32)
        value = table[row % 64, brick % 64]
        value[rows % course == 0] *= 0.86
    elif material in ("stone", "concrete"):
        h, w = (0.42, 0.9) if material == "stone" else (1.6, 2.4)
        row = (np.arange(height) / (h * ppm)).astype(int)
        shift = (row % 2)[:, None] * 0.5 * w * ppm if material == "stone" else 0
        block = ((np.arange(width)[None] + shift) / (w * ppm)).astype(int)
        value = rng.normal(1.0, 0.045, (64, 64)).astype(np.float32)[row[:, None] % 64, block % 64]
        joint = np.zeros(shape, bool)
        joint[1:] |= (row[1:] != row[:-1])[:, None]
        joint[:, 1:] |= block[:, 1:] != block[:, :-1]
        value = np.where(joint, value * 0.78, value)
    value = value * (1.0 + 0.03 * noise(rng, shape, 1.2 * ppm, 4))
    fall = np.linspace(1.03, 0.93, height, dtype=np.float32)[
        :, None
    ]  # rain and dust darken the foot of a wall
    return (value * fall)[..., None] * np.array(colour, np.float32)


def roof_tiles(rng: np.random.Generator, size: int = 128) -> np.ndarray:
    """Grey tiles to be tinted, 2 m a side."""
    rows, columns = np.mgrid[0:size, 0:size]
    course, tile = 16, 16
    value = rng.normal(222, 12, (size // course, size // tile))[
        rows // course, ((columns + rows // course * 8) % size) // tile
    ]
    value = value * (0.80 + 0.2 * np.minimum((rows % course) / 4.0, 1.0))
    value = value * (0.93 + 0.07 * np.sin((columns + rows // course * 8) % tile / tile * np.pi))
    return np.repeat(to_pixels(value)[..., None], 3, axis=2)


FOLIAGE = {
    "round": (74, 112, 48),
    "tall": (62, 104, 56),
    "conifer": (40, 78, 52),
    "autumn": (170, 112, 40),
    "birch": (120, 142, 62),
}


def tree(kind: str, seed: int, size: int = 256) -> np.ndarray:
    """(size, size, 4): trunk and crown, the foot at the middle of the lower edge."""
    rng = np.random.default_rng([seed, len(kind)])
    scale = size / 256
    colour = np.array(FOLIAGE[kind], float)
    image = np.zeros((size, size, 4), np.uint8)
    image[..., :3] = colour * 0.7  # under the transparent parts too, or filtering would draw a black rim
    bark = (208, 204, 196, 255) if kind == "birch" else (86, 68, 52, 255)
    trunk = np.array([120, 136, 131, 125]) * scale
    cv2.fillConvexPoly(
        image, np.stack([trunk, np.array([256, 256, 90, 90]) * scale], 1).astype(np.int32), bark
    )
    for angle in (-0.7, 0.6, -0.25):
        tip = (int((128 + 70 * np.sin(angle)) * scale), int((175 - 80 * np.cos(angle)) * scale))
        cv2.line(image, (size // 2, int(175 * scale)), tip, bark, max(int(4 * scale), 1), cv2.LINE_AA)
    leaves: list[tuple[float, float, float]] = []
    while len(leaves) < 2400:
        x, y = rng.uniform(0, 1, 2)
        if kind == "conifer":
            inside = abs(x - 0.5) < 0.40 * y / 0.86 * (0.75 + 0.25 * ((y * 8) % 1)) and y < 0.88
        else:
            rx, ry, cy = (0.27, 0.40, 0.42) if kind in ("tall", "birch") else (0.46, 0.34, 0.37)
            lump = 1 + 0.13 * np.sin(5 * np.arctan2(y - cy, x - 0.5) + seed) + 0.06 * rng.standard_normal()
            inside = np.hypot((x - 0.5) / rx, (y - cy) / ry) < lump
        if inside:
            leaves.append((y + rng.normal(0, 0.08), x, y))
    for order, x, y in sorted(leaves, reverse=True):  # lower leaves first: the upper ones catch the light
        shade = min(max(1.28 - 0.75 * order + rng.normal(0, 0.13), 0.35), 1.5)
        leaf = [int(min(max(c, 0), 255)) for c in (colour * shade + rng.normal(0, 6, 3)).tolist()] + [255]
        radius = max(int(rng.uniform(2, 4.5) * scale), 1)
        cv2.circle(image, (int(x * size), int(y * size)), radius, leaf, -1, cv2.LINE_AA)
    return image


def hedge(rng: np.random.Generator, size: int = 128) -> np.ndarray:
    value = noise(rng, (size, size), 10, 3)[..., None] * 20 + np.array((66, 98, 48), np.float32)
    return to_pixels(value)


# Side views, front to the right: x in [0, 1] along 4.4 m, y in [0, 1] of 1.9 m, as roof line points.
CAR_PROFILES = {
    "hatchback": [(0.02, 0.2), (0.02, 0.46), (0.1, 0.76), (0.58, 0.78), (0.74, 0.5), (0.97, 0.42),
                  (0.99, 0.2)],
    "saloon": [(0.01, 0.2), (0.01, 0.46), (0.17, 0.5), (0.3, 0.74), (0.6, 0.75), (0.75, 0.49), (0.97, 0.42),
               (0.99, 0.2)],
    "van": [(0.01, 0.2), (0.01, 0.55), (0.03, 0.99), (0.72, 0.99), (0.86, 0.58), (0.98, 0.5), (0.99, 0.2)],
}  # fmt: skip
PAINTS = [
    (178, 30, 34), (32, 60, 120), (220, 222, 224), (60, 64, 68), (150, 156, 160), (24, 90, 70),
    (222, 186, 60), (110, 40, 50), (240, 240, 236), (70, 120, 168), (20, 20, 24), (200, 104, 40),
]  # fmt: skip
GLASS = (38, 48, 56)


def car_side(kind: str, paint: tuple[int, int, int], size: tuple[int, int] = (256, 128)) -> np.ndarray:
    """(H, W, 4) side view of a parked car."""
    w, h = size
    image = np.zeros((h, w, 4), np.uint8)
    image[..., :3] = paint

    def pixels(points: list[tuple[float, float]]) -> np.ndarray:
        return np.array([(x * w, (1 - y) * h) for x, y in points], np.int32)

    profile = CAR_PROFILES[kind]
    cv2.fillPoly(image, [pixels([*profile])], (*paint, 255), cv2.LINE_AA)
    shade = tuple(int(0.62 * c) for c in paint)
    cv2.fillPoly(image, [pixels([(0.02, 0.2), (0.02, 0.27), (0.985, 0.27), (0.985, 0.2)])], (*shade, 255))
    roof = max(y for _, y in profile)
    back, front = (0.13, 0.70) if kind == "hatchback" else (0.24, 0.71) if kind == "saloon" else (0.56, 0.81)
    sill = 0.5 if kind != "van" else 0.6
    inset = 0.08 if kind != "van" else 0.02
    cabin = [
        (back, sill),
        (back + inset, roof - 0.05),
        (0.57 if kind != "van" else 0.7, roof - 0.05),
        (front, sill),
    ]
    cv2.fillPoly(image, [pixels(cabin)], (*GLASS, 255), cv2.LINE_AA)
    for x in (0.42,) if kind != "van" else ():
        cv2.fillPoly(
            image, [pixels([(x, 0.2), (x, roof), (x + 0.018, roof), (x + 0.018, 0.2)])], (*paint, 255)
        )
    for x in (0.42, 0.68):
        cv2.polylines(image, [pixels([(x, 0.24), (x, sill)])], False, (*shade, 255), 1)
    for x in (0.19, 0.80):
        centre = (int(x * w), int((1 - 0.165) * h))
        cv2.circle(image, centre, int(0.082 * w), (22, 22, 24, 255), -1, cv2.LINE_AA)
        cv2.circle(image, centre, int(0.048 * w), (150, 152, 156, 255), -1, cv2.LINE_AA)
        cv2.circle(image, centre, int(0.016 * w), (60, 60, 64, 255), -1, cv2.LINE_AA)
    return image


def car_end(paint: tuple[int, int, int], front: bool) -> np.ndarray:
    """(64, 128, 3) bumper, lights and number plate."""
    image = np.full((64, 128, 3), paint, np.uint8)
    image[44:] = (np.array(paint) * 0.55).astype(np.uint8)
    lamp = (236, 238, 230) if front else (170, 24, 22)
    for x in (6, 98):
        cv2.rectangle(image, (x, 12), (x + 24, 26), lamp, -1)
    if front:
        cv2.rectangle(image, (40, 12), (88, 28), (30, 32, 34), -1)
    cv2.rectangle(image, (44, 34), (84, 44), (236, 236, 226), -1)
    cv2.putText(image, "KX 38", (47, 43), FONT, 0.28, (20, 20, 30), 1, cv2.LINE_AA)
    return image


def sign(kind: str, size: int = 128) -> np.ndarray:
    """(size, size, 4) traffic sign."""
    image = np.zeros((size, size, 4), np.uint8)
    image[..., :3] = 200
    centre, radius = (size // 2, size // 2), int(0.47 * size)
    red, white, blue, black = (196, 24, 30, 255), (244, 244, 240, 255), (24, 70, 160, 255), (20, 20, 20, 255)

    def ring(corners: int, start: float, r: float) -> np.ndarray:
        turn = start + np.arange(corners) * 2 * np.pi / corners
        return np.stack([centre[0] + r * np.cos(turn), centre[1] + r * np.sin(turn)], 1).astype(np.int32)

    def text(word: str, scale: float, colour: tuple[int, ...]) -> None:
        (w, h), _ = cv2.getTextSize(word, FONT, scale, 3)
        cv2.putText(
            image, word, (centre[0] - w // 2, centre[1] + h // 2), FONT, scale, colour, 3, cv2.LINE_AA
        )

    if kind == "stop":
        cv2.fillPoly(image, [ring(8, np.pi / 8, radius)], white)
        cv2.fillPoly(image, [ring(8, np.pi / 8, radius * 0.93)], red)
        text("STOP", 1.0, white)
    elif kind == "yield":
        cv2.fillPoly(image, [ring(3, np.pi / 2, radius)], red)
        cv2.fillPoly(image, [ring(3, np.pi / 2, radius * 0.62)], white)
    elif kind == "speed":
        cv2.circle(image, centre, radius, red, -1, cv2.LINE_AA)
        cv2.circle(image, centre, int(radius * 0.76), white, -1, cv2.LINE_AA)
        text("30", 1.5, black)
    elif kind == "no_parking":
        cv2.circle(image, centre, radius, red, -1, cv2.LINE_AA)
        cv2.circle(image, centre, int(radius * 0.8), blue, -1, cv2.LINE_AA)
        cv2.line(image, (30, 30), (98, 98), red, 12, cv2.LINE_AA)
    elif kind == "bus":
        cv2.circle(image, centre, radius, (240, 200, 40, 255), -1, cv2.LINE_AA)
        cv2.circle(image, centre, int(radius * 0.82), (20, 110, 60, 255), -1, cv2.LINE_AA)
        text("H", 2.0, (240, 200, 40, 255))
    else:
        image[4:-4, 4:-4] = blue
        cv2.fillPoly(image, [ring(3, -np.pi / 2, radius * 0.8)], white)
    return image


def posters(seed: int, size: tuple[int, int] = (512, 256)) -> np.ndarray:
    """(H, W, 3) posters that wrap a round column."""
    rng = np.random.default_rng(seed)
    image = np.full((size[1], size[0], 3), (190, 188, 176), np.uint8)
    x = 0
    while x < size[0] - 20:
        w, y = int(rng.integers(60, 120)), 8
        while y < size[1] - 60:
            h = int(rng.integers(60, 130))
            ground = rng.integers(30, 240, 3)
            ink = tuple(int(c) for c in (ground + 128) % 256)
            cv2.rectangle(
                image, (x + 3, y), (x + w - 3, min(y + h, size[1] - 8)), tuple(int(c) for c in ground), -1
            )
            cv2.circle(image, (x + w // 2, y + h // 2), int(rng.integers(10, 26)), ink, -1, cv2.LINE_AA)
            word = ("JAZZ", "CIRCUS", "OPERA", "EXPO", "VOTE", "FILM", "SALE")[int(rng.integers(7))]
            cv2.putText(image, word, (x + 8, y + 18), FONT, 0.5, ink, 1, cv2.LINE_AA)
            y += h + 4
        x += w
    return image
