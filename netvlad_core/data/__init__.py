"""Sources of images and poses: bags, folders and catalogues behind one interface, `FrameSource`."""
