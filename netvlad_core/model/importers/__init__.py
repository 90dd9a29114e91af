"""Weights of other projects, recognised by their content: `import_weights`."""

from netvlad_core.model.importers.recognise import ImportedWeights, import_weights

__all__ = ["ImportedWeights", "import_weights"]
