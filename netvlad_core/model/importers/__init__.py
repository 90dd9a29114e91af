"""Weights of other projects become networks; the content of a file tells which project it comes from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file

from netvlad_core.data.mat_file import is_mat_file
from netvlad_core.errors import CheckpointError
from netvlad_core.model.importers import anyloc, hloc
from netvlad_core.model.importers.torch_layouts import LAYOUTS
from netvlad_core.model.network import PlaceNetwork
from netvlad_core.model.torch_files import named_tensors, read_torch_file

_MOST_KEYS = 8


def import_weights(path: Path, backbone_weights: Path | None = None) -> tuple[PlaceNetwork, str]:
    """Convert a file of weights of another project; nothing in it is executed.

    Parameters
    ----------
    backbone_weights : as in `load_pretrained`, for a file without those of its backbone.

    Returns
    -------
    A network that computes what the project computes, its preprocessing included, and the project's name.

    Raises
    ------
    CheckpointError
        If there is no file, its layout is unknown, or it is damaged: the message names the tensors that are
        missing or wrong.
    """
    if not path.is_file():
        raise CheckpointError(f"there is no file of weights {path}")
    with path.open("rb") as file:
        head = file.read(128)
    if is_mat_file(head):
        return hloc.take(path).assemble(path, hloc.NAME, hloc.LICENCE), hloc.NAME
    content = _content(path)
    if anyloc.fits(content):
        return anyloc.take(content, path, backbone_weights), anyloc.NAME
    state = named_tensors(content, path)
    # A damaged file fits none: the one with the most tensors in their places names what is missing.
    layout = next((each for each in LAYOUTS if each.fits(state, content)), None)
    layout = layout or max(LAYOUTS, key=lambda each: each.matches(state))
    if not layout.matches(state):
        keys = sorted(state)
        shown = ", ".join(keys[:_MOST_KEYS]) + (", ..." if len(keys) > _MOST_KEYS else "")
        known = "; ".join([*(each.name for each in LAYOUTS), hloc.NAME, anyloc.NAME])
        raise CheckpointError(f"{path} has none of the known layouts ({known}); its tensors are {shown}")
    return layout.take(state).assemble(path, layout.name, layout.licence), layout.name


def _content(path: Path) -> Any:
    if path.suffix != ".safetensors":
        return read_torch_file(path)
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is truncated or damaged: {error}") from error
