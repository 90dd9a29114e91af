"""A town under a light as textured triangles: what a renderer needs, and no more."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import contourpy
import cv2
import numpy as np

from town import textures
from town.facades import paint_front, paint_side
from town.ground import BORDER, STRIDE, TILE, GroundPainter
from town.lighting import Illumination, Light
from town.mesh import Billboard, Mesh, MeshBuilder
from town.plan import Building, Street, kerb_distance
from town.props import add_car, add_column, add_lamp, add_sign
from town.roofs import add_roof
from town.sky import panorama
from town.town import Town

KERB = 0.12  # metres high
GRAIN = 0.4  # metres between the points of a wall or of the ground at which light is computed


@dataclass(frozen=True)
class Scene:
    meshes: list[Mesh]
    billboards: list[Billboard]
    sky: np.ndarray  # panorama, see sky.py


def build_scene(town: Town, light: Light) -> Scene:
    illumination = Illumination(town, light)
    plain = MeshBuilder(np.full((8, 8, 3), 255, np.uint8))
    tiles = MeshBuilder(textures.roof_tiles(np.random.default_rng(5)))
    leaves = MeshBuilder(
        textures.to_pixels(textures.hedge(np.random.default_rng(6)) * np.array(light.leaves))
    )
    builders = {"plain": plain, "tiles": tiles, "hedge": leaves}
    meshes = _ground(town, illumination)
    for building in town.buildings:
        meshes += _walls(town.streets, building, illumination)
        add_roof(building, tiles, plain)
    _kerbs(town, plain)
    for a, b in town.hedges:
        _hedge(a, b, leaves)
    for car in town.cars:
        add_car(car, builders)
    for lamp in town.lamps:
        add_lamp(lamp, plain, glowing=light.lamps > 0)
    for sign in town.signs:
        (add_column if sign.kind == "column" else add_sign)(sign, builders)
    meshes += [builder.finish(illumination) for builder in builders.values() if not builder.empty]
    return Scene(meshes, _trees(town, illumination), panorama(light, town.seed))


def _ground(town: Town, illumination: Illumination) -> list[Mesh]:
    painter, meshes = GroundPainter(town, illumination.light), []
    x_start, y_start, x_end, y_end = town.bounds
    inset = BORDER / TILE
    uv = np.array([(inset, inset), (1 - inset, inset), (1 - inset, 1 - inset), (inset, 1 - inset)])
    for x in np.arange(x_start, x_end, STRIDE):
        for y in np.arange(y_start, y_end, STRIDE):
            image = painter.tile(x, y)
            points = painter.points(x, y, 128 if len(image) > 64 else 16)
            flat = np.concatenate([points, np.zeros((*points.shape[:2], 1))], axis=2).reshape(-1, 3)
            factor = illumination.factor(flat, np.broadcast_to((0.0, 0.0, 1.0), flat.shape))
            lit = _apply(image, factor.reshape(*points.shape[:2], 3))
            builder = MeshBuilder(lit, smooth=True)
            west, south, east, north = x + BORDER, y + BORDER, x + BORDER + STRIDE, y + BORDER + STRIDE
            corners = [(west, south, 0), (east, south, 0), (east, north, 0), (west, north, 0)]
            builder.quad(np.array(corners), uv, lit=False)
            meshes.append(builder.finish(illumination))
    return meshes


def _walls(streets: list[Street], building: Building, illumination: Illumination) -> list[Mesh]:
    meshes = []
    for edge in range(4):
        a, b = building.footprint[edge], building.footprint[(edge + 1) % 4]
        along = (b - a) / np.linalg.norm(b - a)
        outward = np.array([along[1], -along[0]])
        width, middle = float(np.linalg.norm(b - a)), (a + b) / 2
        if _faces_street(streets, middle, outward):
            albedo, glow = paint_front(building, width, illumination.light.lit_windows, edge)
        else:
            albedo, glow = paint_side(building, width)
        columns, rows = max(int(width / GRAIN), 2), max(int(building.height / GRAIN), 2)
        s, z = np.meshgrid((np.arange(columns) + 0.5) / columns, (np.arange(rows)[::-1] + 0.5) / rows)
        flat = a + s.reshape(-1, 1) * (b - a)
        points = np.hstack([flat, z.reshape(-1, 1) * building.height])
        normals = np.broadcast_to((*outward, 0.0), points.shape)
        factor = illumination.factor(points, normals).reshape(rows, columns, 3)
        lit = _apply(albedo, factor)
        if illumination.light.lit_windows:
            lit = np.maximum(lit, glow)
        builder = MeshBuilder(_power_of_two(lit))
        low, high = [(*a, 0.0), (*b, 0.0)], [(*b, building.height), (*a, building.height)]
        builder.quad(np.array(low + high), lit=False)
        meshes.append(builder.finish(illumination))
    return meshes


def _faces_street(streets: list[Street], middle: np.ndarray, outward: np.ndarray) -> bool:
    for street in streets:
        distance = street.distance(middle)
        if (
            distance < street.half_width + street.pavement + 14.0
            and street.distance(middle + 2 * outward) < distance - 1.4
        ):
            return True
    return False


def _apply(image: np.ndarray, factor: np.ndarray) -> np.ndarray:
    smooth = cv2.resize(factor.astype(np.float32), image.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    return textures.to_pixels(image * smooth)


def _power_of_two(image: np.ndarray) -> np.ndarray:
    height, width = (int(2 ** np.clip(np.ceil(np.log2(side / 1.15)), 4, 10)) for side in image.shape[:2])
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)


def _kerbs(town: Town, plain: MeshBuilder) -> None:
    """Kerb stones along the line where the distance to the kerb is zero."""
    x0, y0, x1, y1 = town.bounds
    x, y = np.arange(x0, x1, 0.5), np.arange(y0, y1, 0.5)
    field = kerb_distance(town.streets, np.stack(np.meshgrid(x, y), axis=-1))
    for line in contourpy.contour_generator(x, y, field).lines(0.0):
        line = cv2.approxPolyDP(np.asarray(line, np.float32)[:, None], 0.02, False)[:, 0].astype(float)
        for a, b in itertools.pairwise(line):
            along = (b - a) / max(float(np.linalg.norm(b - a)), 1e-9)
            back = 0.16 * np.array([along[1], -along[0]])
            if kerb_distance(town.streets, (a + b) / 2 + back) < 0:
                back = -back
            bottom, front = [(*a, 0.0), (*b, 0.0)], [(*b, KERB), (*a, KERB)]
            plain.quad(np.array(bottom + front), tint=(150, 148, 144))
            plain.quad(
                np.array([(*a, KERB), (*b, KERB), (*(b + back), KERB), (*(a + back), KERB)]),
                tint=(188, 184, 178),
            )


def _hedge(a: np.ndarray, b: np.ndarray, leaves: MeshBuilder) -> None:
    length = float(np.linalg.norm(b - a))
    along = (b - a) / length
    side = 0.35 * np.array([-along[1], along[0]])
    for p, q in ((a - side, b - side), (b + side, a + side), (a + side, a - side), (b - side, b + side)):
        u = float(np.linalg.norm(q - p)) / 1.4
        uv = [(0, 0), (u, 0), (u, 1), (0, 1)]
        leaves.quad(np.array([(*p, 0), (*q, 0), (*q, 1.3), (*p, 1.3)]), uv)
    top = [(*(a - side), 1.3), (*(b - side), 1.3), (*(b + side), 1.3), (*(a + side), 1.3)]
    leaves.quad(np.array(top), [(0, 0), (length / 1.4, 0), (length / 1.4, 0.5), (0, 0.5)])


def _trees(town: Town, illumination: Illumination) -> list[Billboard]:
    pictures = {look: textures.tree(*look) for look in sorted({(t.kind, t.variant) for t in town.trees})}
    half_way = illumination.light.to_sun + np.array(
        (0.0, 0.0, 1.0)
    )  # a crown catches light from above and the sun
    normal = half_way / np.linalg.norm(half_way)
    result = []
    for tree in town.trees:
        crown = np.array([[*tree.position, tree.size]])
        colour = np.clip(illumination.factor(crown, normal[None])[0] * illumination.light.leaves, 0, 1)
        foot = np.array([*tree.position, 0.0])
        width = tree.size * (0.62 if tree.kind == "conifer" else 0.85)
        result.append(Billboard(foot, width, tree.size, colour, pictures[tree.kind, tree.variant]))
    return result
