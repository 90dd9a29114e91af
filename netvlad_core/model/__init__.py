"""From images to descriptors: backbone, NetVLAD layer, whitening, checkpoints and the `Extractor`."""
