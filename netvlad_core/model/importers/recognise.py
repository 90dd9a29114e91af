"""Which project does a file of weights come from? Its content tells."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from netvlad_core.data.mat_file import is_mat_file
from netvlad_core.errors import CheckpointError
from netvlad_core.model.importers import hloc
from netvlad_core.model.importers.parts import assemble
from netvlad_core.model.importers.torch_layouts import LAYOUTS, state_of
from netvlad_core.model.network import PlaceNetwork
from netvlad_core.model.torch_files import read_torch_file

_MOST_KEYS = 8


@dataclass(frozen=True)
class ImportedWeights:
    """A network and where it comes from.

    Attributes
    ----------
    network : computes what the project computes, its preprocessing included.
    layout : name of the project.
    """

    network: PlaceNetwork
    layout: str


def import_weights(path: Path) -> ImportedWeights:
    """Convert a file of weights of another project; nothing in it is executed.

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
        return ImportedWeights(assemble(hloc.take(path), path, hloc.NAME), hloc.NAME)
    state = state_of(read_torch_file(path))
    if not state:
        raise CheckpointError(f"{path} holds no state dict of named tensors")
    # A damaged file fits none: the one with the most tensors in their places names what is missing.
    layout = next((each for each in LAYOUTS if each.fits(state)), None)
    layout = layout or max(LAYOUTS, key=lambda each: each.matches(state))
    if not layout.matches(state):
        keys = sorted(state)
        shown = ", ".join(keys[:_MOST_KEYS]) + (", ..." if len(keys) > _MOST_KEYS else "")
        known = "; ".join([*(each.name for each in LAYOUTS), hloc.NAME])
        raise CheckpointError(f"{path} has none of the known layouts ({known}); its tensors are {shown}")
    return ImportedWeights(assemble(layout.take(state), path, layout.name), layout.name)
