"""torchvision.models beside any torch."""

from __future__ import annotations

import sys
from types import ModuleType

import torch

_operator_schemas: list[torch.library.Library] = []


def torchvision_models() -> ModuleType:
    """Import torchvision.models, also beside a torch that torchvision was not compiled for.

    There its compiled operators are missing and the import fails on their names. The classification networks
    need none of them, so declaring the schemas is enough.
    """
    try:
        import torchvision.models as models
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
        for module in [m for m in sys.modules if m.split(".")[0] == "torchvision"]:
            del sys.modules[module]
        library = torch.library.Library("torchvision", "DEF")
        for operator in ("nms", "qnms"):
            library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _operator_schemas.append(library)  # the schemas live as long as this object
        import torchvision.models as models
    return models
