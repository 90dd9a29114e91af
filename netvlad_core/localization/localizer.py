"""The localizer: an image in, the places it may show and a pose out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

import numpy as np

from netvlad_core.errors import CheckpointError, MapError
from netvlad_core.localization.pose_prior import AGREEMENT_RADIUS, PosePrior, estimate_pose
from netvlad_core.localization.retrieval import Match, retrieve
from netvlad_core.mapping.place_map import PlaceMap
from netvlad_core.model.extractor import Extractor
from netvlad_core.search import open_index


class State(IntEnum):
    """What the localizer knows; a pose goes with LOCALIZED only."""

    LOST = 0
    AMBIGUOUS = 1
    LOCALIZED = 2


@dataclass(frozen=True)
class LocalizerOptions:
    """How matches become a statement.

    Attributes
    ----------
    top_k : matches reported for each image.
    min_similarity : below this best similarity the state is LOST; None takes the map's own threshold.
    min_agreement : share of the matches' weight that must support one pose, else the state is AMBIGUOUS.
    agreement_radius : metres, within which two matches support the same pose.
    """

    top_k: int = 10
    min_similarity: float | None = None
    min_agreement: float = 0.5
    agreement_radius: float = AGREEMENT_RADIUS


@dataclass(frozen=True)
class Localization:
    """Answer to one image.

    Attributes
    ----------
    stamp : of the image, nanoseconds.
    state : LOST, AMBIGUOUS or LOCALIZED.
    matches : best first.
    prior : pose and covariance, only when LOCALIZED.
    descriptor : (D,) float32 of the image.
    """

    stamp: int
    state: State
    matches: Sequence[Match]
    prior: PosePrior | None
    descriptor: np.ndarray


class Localizer:
    """Finds images in one map.

    Parameters
    ----------
    place_map : the map.
    extractor : must carry the map's own model.

    Raises
    ------
    MapError
        If map and model do not belong together, or the map is empty.
    """

    def __init__(
        self, place_map: PlaceMap, extractor: Extractor, options: LocalizerOptions | None = None
    ) -> None:
        place_map.check_model(extractor.model_id)
        if not len(place_map):
            raise MapError(f"the map {place_map.path} has no places")
        self.place_map = place_map
        self.extractor = extractor
        self.options = options or LocalizerOptions()
        self.index = open_index(place_map.descriptors)

    @classmethod
    def open(
        cls,
        map_path: Path | str,
        weights: Path | str | None = None,
        device: str = "auto",
        options: LocalizerOptions | None = None,
        precision: str = "auto",
    ) -> Localizer:
        """Open a map, every checksum compared, together with its network.

        Parameters
        ----------
        weights : checkpoint or ONNX file; None takes the network in the map, or from where the map says it
            was found.
        precision : as in `Extractor.load`.
        """
        place_map = PlaceMap.open(map_path, verify=True)
        path = Path(weights) if weights else place_map.network_path
        if not path.is_file():
            raise CheckpointError(
                f"the model {place_map.header.model_id} of the map {map_path} is not at {path}; "
                "name its checkpoint"
            )
        return cls(place_map, Extractor.load(path, device, precision=precision), options)

    @property
    def min_similarity(self) -> float:
        """The threshold in force: the option, or the map's own."""
        chosen = self.options.min_similarity
        return self.place_map.header.similarity_threshold if chosen is None else chosen

    def __call__(self, image: np.ndarray, stamp: int = 0) -> Localization:
        """Localize one image, uint8 RGB (H, W, 3); raises ImageError for anything else."""
        return self.locate(self.extractor(image)[0], stamp)

    def locate(self, descriptor: np.ndarray, stamp: int = 0) -> Localization:
        """Localize by a descriptor (D,) float32 that this map's model has computed."""
        matches = retrieve(self.place_map, self.index, descriptor, self.options.top_k)
        if matches[0].similarity < self.min_similarity:
            return Localization(stamp, State.LOST, matches, None, descriptor)
        prior = estimate_pose(matches, self.place_map.header.spacing, self.options.agreement_radius)
        if prior is None or prior.agreement < self.options.min_agreement:
            return Localization(stamp, State.AMBIGUOUS, matches, None, descriptor)
        return Localization(stamp, State.LOCALIZED, matches, prior, descriptor)
