"""Where images and poses come from: bags, folders and catalogues behind one interface, `FrameSource`."""
