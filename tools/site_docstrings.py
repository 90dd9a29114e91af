"""How mkdocstrings reads the docstrings of this project, see mkdocs.yml."""

from __future__ import annotations

from typing import Any

import griffe

from tools.site_hooks import as_numpy


class OurDocstrings(griffe.Extension):
    """Descriptions stand where NumPy's style has types, which the annotations give here."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring:
            obj.docstring.value = as_numpy(obj.docstring.value)
