"""Cars, lamps, signs and poster columns as triangles."""

from __future__ import annotations

import itertools

import numpy as np

from town import textures
from town.furniture import CAR_LENGTH
from town.lighting import LAMP_HEIGHT, lamp_head
from town.mesh import MeshBuilder
from town.plan import Thing

CAR_HEIGHT, CAR_WIDTH = 1.9, 1.72  # metres; the height is that of the side picture
STEEL = (92, 96, 100)
Builders = dict[str, MeshBuilder]


def _builder(builders: Builders, key: str, texture: np.ndarray) -> MeshBuilder:
    return builders.setdefault(key, MeshBuilder(texture))


def add_car(car: Thing, builders: Builders) -> None:
    """A side view extruded across the car's width."""
    paint = textures.PAINTS[car.variant % len(textures.PAINTS)]
    profile = textures.CAR_PROFILES[car.kind]
    forward = np.array([np.cos(car.yaw), np.sin(car.yaw)])
    left = np.array([-forward[1], forward[0]])

    def at(x: float, y: float, side: float) -> np.ndarray:
        flat = car.position + (x - 0.5) * CAR_LENGTH * forward + side * CAR_WIDTH / 2 * left
        return np.array([*flat, y * CAR_HEIGHT])

    picture = _builder(builders, f"{car.kind} {paint}", textures.car_side(car.kind, paint))
    picture.quad(np.array([at(0, 0, -1), at(1, 0, -1), at(1, 1, -1), at(0, 1, -1)]))
    picture.quad(
        np.array([at(1, 0, 1), at(0, 0, 1), at(0, 1, 1), at(1, 1, 1)]), [(1, 0), (0, 0), (0, 1), (1, 1)]
    )
    plain = builders["plain"]
    for i, ((x0, y0), (x1, y1)) in enumerate(itertools.pairwise(profile)):
        corners = np.array([at(x1, y1, -1), at(x1, y1, 1), at(x0, y0, 1), at(x0, y0, -1)])
        if i in (0, len(profile) - 2):
            front = i > 0
            ends = _builder(
                builders, f"{'front' if front else 'back'} {paint}", textures.car_end(paint, front)
            )
            ends.quad(corners if front else corners[[2, 3, 0, 1]])
        else:
            glass = abs(y1 - y0) > 0.2 and min(y0, y1) > 0.4
            plain.quad(corners, tint=textures.GLASS if glass else paint)


def add_lamp(lamp: Thing, plain: MeshBuilder, glowing: bool) -> None:
    foot = np.array([*lamp.position, 0.0])
    head = np.array(lamp_head(lamp))
    plain.box(
        np.array((*lamp.position, LAMP_HEIGHT / 2)), np.array((0.06, 0.06, LAMP_HEIGHT / 2)), lamp.yaw, STEEL
    )
    plain.box(np.array((*lamp.position, 0.4)), np.array((0.11, 0.11, 0.4)), lamp.yaw, (60, 66, 66))
    middle = (foot + head) / 2
    middle[2] = LAMP_HEIGHT + 0.05
    plain.box(middle, np.array((0.55, 0.04, 0.04)), lamp.yaw, STEEL)
    bulb = (255, 226, 160) if glowing else (226, 226, 220)
    plain.box(head, np.array((0.3, 0.13, 0.07)), lamp.yaw, bulb, lit=not glowing)


def add_sign(sign: Thing, builders: Builders) -> None:
    """A pole with a plate; the plate faces traffic that comes towards it."""
    size, top = 0.66, 2.75
    right = np.array([-np.sin(sign.yaw), np.cos(sign.yaw)]) * size / 2
    builders["plain"].box(
        np.array((*sign.position, top / 2)), np.array((0.035, 0.035, top / 2)), sign.yaw, (150, 152, 154)
    )
    spot = sign.position + 0.06 * np.array([np.cos(sign.yaw), np.sin(sign.yaw)])
    corners = [
        (*(spot - right), top - size),
        (*(spot + right), top - size),
        (*(spot + right), top),
        (*(spot - right), top),
    ]
    _builder(builders, sign.kind, textures.sign(sign.kind)).quad(np.array(corners))


def add_column(column: Thing, builders: Builders) -> None:
    """A round column with posters and a small roof."""
    posters = _builder(builders, f"column {column.variant}", textures.posters(column.variant))
    radius, height, count = 0.62, 2.7, 12
    turn = np.linspace(0, 2 * np.pi, count + 1)
    ring = column.position + radius * np.stack([np.cos(turn), np.sin(turn)], axis=1)
    for i in range(count):
        a, b = ring[i], ring[i + 1]
        uv = [(i / count, 0), ((i + 1) / count, 0), ((i + 1) / count, 1), (i / count, 1)]
        posters.quad(np.array([(*a, 0), (*b, 0), (*b, height), (*a, height)]), uv)
        peak = (*column.position, height + 0.5)
        wide = [(*(column.position + 1.2 * (p - column.position)), height) for p in (a, b)]
        builders["plain"].quad(np.array([*wide, peak, peak]), tint=(52, 84, 70))
