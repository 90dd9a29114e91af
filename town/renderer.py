"""Renders a town off-screen with Panda3D's software rasterizer: it needs no screen, GPU or OpenGL."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import cv2
import numpy as np
from panda3d import core as p3d
from scipy.spatial.transform import Rotation

from town.lighting import LIGHTS
from town.mesh import Billboard, Mesh
from town.scene import build_scene
from town.sky import HIGHEST, LOWEST
from town.town import Town

SUPERSAMPLING = 2  # per axis; the rasterizer has no anti-aliasing of its own
NEAR, FAR = 0.2, 900.0  # metres
_names = itertools.count()

p3d.load_prc_file_data(
    "netvlad demo",
    "load-display p3tinydisplay\nwindow-type offscreen\naudio-library-name null\n"
    "textures-power-2 none\nnotify-level-display fatal\nnotify-level-tinydisplay fatal\n",
)
# What is near is drawn first, the sky last: hidden pixels are then never textured.
_bins = p3d.CullBinManager.get_global_ptr()
_bins.add_bin("nearest", p3d.CullBinManager.BT_front_to_back, 20)
_bins.add_bin("sky", p3d.CullBinManager.BT_unsorted, 25)


class Renderer:
    """A pinhole camera in a town.

    Parameters
    ----------
    light : a key of `lighting.LIGHTS`.
    hfov_deg : horizontal field of view; pixels are square.
    extra : meshes to show besides the town, such as markers.
    """

    def __init__(
        self, town: Town, light: str, width: int = 640, height: int = 480, hfov_deg: float = 75.0,
        extra: Sequence[Mesh] = (),
    ) -> None:  # fmt: skip
        self.width, self.height = width, height
        self.focal = 0.5 * width / np.tan(np.radians(hfov_deg) / 2)  # pixels
        self._root = p3d.NodePath("town")
        self._sky = self._root.attach_new_node("sky")
        self._engine = p3d.GraphicsEngine()
        self._camera, self._frame = self._open(hfov_deg)
        self._textures: dict[int, p3d.Texture] = {}
        scene = build_scene(town, LIGHTS[light])
        for mesh in (*scene.meshes, *extra):
            self._attach(mesh)
        for billboard in scene.billboards:
            self._attach_billboard(billboard)
        self._attach_sky(scene.sky)

    @property
    def intrinsics(self) -> np.ndarray:
        """(3, 3) camera matrix; pixel centres have integer coordinates."""
        cx, cy = (self.width - 1) / 2, (self.height - 1) / 2
        return np.array([(self.focal, 0, cx), (0, self.focal, cy), (0, 0, 1)])

    def render(self, position: np.ndarray, quaternion_xyzw: np.ndarray) -> np.ndarray:
        """What the camera sees.

        Parameters
        ----------
        position, quaternion_xyzw : pose of the optical frame (z forward, x right, y down) in the map, metres.

        Returns
        -------
        (height, width, 3) uint8 RGB.
        """
        x, y, z = Rotation.from_quat(quaternion_xyzw).as_matrix().T
        self._camera.set_mat(p3d.Mat4(*x, 0, *z, 0, *-y, 0, *(float(p) for p in position), 1))
        self._sky.set_pos(*(float(p) for p in position))
        self._engine.render_frame()
        size = (SUPERSAMPLING * self.height, SUPERSAMPLING * self.width, -1)
        pixels = np.frombuffer(self._frame.get_ram_image(), np.uint8).reshape(size)[..., :3]
        small = cv2.resize(pixels, (self.width, self.height), interpolation=cv2.INTER_AREA)
        return np.ascontiguousarray(small[::-1, :, ::-1])  # bottom row first, BGR

    def close(self) -> None:
        self._engine.remove_all_windows()

    def _open(self, hfov_deg: float) -> tuple[p3d.NodePath, p3d.Texture]:
        pixels = p3d.FrameBufferProperties()
        pixels.set_rgba_bits(8, 8, 8, 0)
        pixels.set_depth_bits(24)
        size = p3d.WindowProperties.size(SUPERSAMPLING * self.width, SUPERSAMPLING * self.height)
        pipe = p3d.GraphicsPipeSelection.get_global_ptr().make_default_pipe()
        name = f"camera {next(_names)}"
        buffer = self._engine.make_output(pipe, name, 0, pixels, size, p3d.GraphicsPipe.BF_refuse_window)
        frame = p3d.Texture()
        buffer.add_render_texture(frame, p3d.GraphicsOutput.RTM_copy_ram)
        lens = p3d.PerspectiveLens()
        lens.set_aspect_ratio(self.width / self.height)
        lens.set_fov(hfov_deg)
        lens.set_near_far(NEAR, FAR)
        camera = p3d.Camera("camera", lens)
        path = self._root.attach_new_node(camera)
        region = buffer.make_display_region()
        region.set_camera(path)
        return path, frame

    def _texture(self, mesh: Mesh) -> p3d.Texture:
        image = mesh.texture
        if id(image) not in self._textures:
            height, width, channels = image.shape
            texture = p3d.Texture()
            kind = p3d.Texture.F_rgba if channels == 4 else p3d.Texture.F_rgb
            texture.setup_2d_texture(width, height, p3d.Texture.T_unsigned_byte, kind)
            flipped = image[::-1, :, [2, 1, 0, 3][:channels]]
            texture.set_ram_image(np.ascontiguousarray(flipped).tobytes())
            texture.set_minfilter(p3d.SamplerState.FT_linear_mipmap_linear)
            if (
                mesh.smooth
            ):  # a mip level, not two: blending two levels is broken at this quality (false colours)
                texture.set_quality_level(p3d.Texture.QL_best)
                texture.set_minfilter(p3d.SamplerState.FT_linear_mipmap_nearest)
            repeats = mesh.uv.max() > 1.001
            wrap = p3d.SamplerState.WM_repeat if repeats else p3d.SamplerState.WM_clamp
            texture.set_wrap_u(wrap)
            texture.set_wrap_v(wrap)
            texture.set_magfilter(p3d.SamplerState.FT_linear)
            self._textures[id(image)] = texture
        return self._textures[id(image)]

    def _attach(self, mesh: Mesh, parent: p3d.NodePath | None = None) -> p3d.NodePath:
        layout = p3d.GeomVertexArrayFormat()
        layout.add_column(p3d.InternalName.get_vertex(), 3, p3d.Geom.NT_float32, p3d.Geom.C_point)
        layout.add_column(p3d.InternalName.get_texcoord(), 2, p3d.Geom.NT_float32, p3d.Geom.C_texcoord)
        layout.add_column(p3d.InternalName.get_color(), 4, p3d.Geom.NT_float32, p3d.Geom.C_color)
        data = p3d.GeomVertexData(
            "", p3d.GeomVertexFormat.register_format(p3d.GeomVertexFormat(layout)), p3d.Geom.UH_static
        )
        data.unclean_set_num_rows(len(mesh.vertices))
        rows = np.hstack([mesh.vertices, mesh.uv, mesh.colours, np.ones((len(mesh.vertices), 1))]).astype(
            np.float32
        )
        memoryview(data.modify_array(0)).cast("B")[:] = rows.tobytes()
        triangles = p3d.GeomTriangles(p3d.Geom.UH_static)
        triangles.set_index_type(p3d.Geom.NT_uint32)
        indices = triangles.modify_vertices()
        indices.unclean_set_num_rows(mesh.triangles.size)
        memoryview(indices).cast("B")[:] = mesh.triangles.astype(np.uint32).tobytes()
        geometry = p3d.Geom(data)
        geometry.add_primitive(triangles)
        node = p3d.GeomNode("")
        node.add_geom(geometry)
        path = (parent or self._root).attach_new_node(node)
        path.set_texture(self._texture(mesh))
        path.set_attrib(p3d.ColorAttrib.make_vertex())
        path.set_two_sided(True)
        path.set_bin("nearest", 0)
        if mesh.texture.shape[2] == 4:
            path.set_transparency(p3d.TransparencyAttrib.M_binary)
        return path

    def _attach_billboard(self, board: Billboard) -> None:
        w, h = board.width / 2, board.height
        vertices = np.array([(-w, 0, 0), (w, 0, 0), (w, 0, h), (-w, 0, h)])
        uv = np.array([(0, 0), (1, 0), (1, 1), (0, 1)], float)
        quad = Mesh(
            vertices, uv, np.tile(board.colour, (4, 1)), np.array([(0, 1, 2), (0, 2, 3)]), board.texture
        )
        path = self._attach(quad)
        path.set_pos(*(float(p) for p in board.position))
        path.set_transparency(p3d.TransparencyAttrib.M_alpha)
        path.set_bin("transparent", 0)
        path.set_billboard_axis()

    def _attach_sky(self, image: np.ndarray) -> None:
        """A dome that moves with the camera, drawn where nothing stands before it."""
        columns, rows, radius = 72, 24, 500.0
        turn, rise = np.meshgrid(
            np.linspace(0, 2 * np.pi, columns + 1), np.linspace(LOWEST, HIGHEST, rows + 1)
        )
        flat = np.cos(rise)
        vertices = radius * np.stack(
            [flat * np.cos(turn), flat * np.sin(turn), np.sin(rise)], axis=-1
        ).reshape(-1, 3)
        uv = np.stack([turn / (2 * np.pi), (rise - LOWEST) / (HIGHEST - LOWEST)], axis=-1).reshape(-1, 2)
        first = (np.arange(rows)[:, None] * (columns + 1) + np.arange(columns)).ravel()
        above = first + columns + 1
        triangles = np.concatenate(
            [np.stack([first, first + 1, above + 1], 1), np.stack([first, above + 1, above], 1)]
        )
        self._attach(Mesh(vertices, uv, np.ones_like(vertices), triangles, image), self._sky).set_bin(
            "sky", 0
        )
