"""One call opens whatever holds images."""

from __future__ import annotations

import os

import cv2
import numpy as np
import pytest

from netvlad_core.data.bags.source import BagSource
from netvlad_core.data.catalogue import CatalogueSource
from netvlad_core.data.geometry import Pose
from netvlad_core.data.sources import SourceOptions, open_source
from netvlad_core.errors import NetvladError, SourceError
from support.bags import STORAGES, write_bag
from support.drives import COUNT, arc, assert_on_arc, bag_path, pictures, storage_file
from support.images import known_picture


@pytest.mark.parametrize("storage", STORAGES)
def test_bags(tmp_path, storage):
    path = write_bag(bag_path(tmp_path, storage), pictures(), arc(), storage=storage)
    paths = [path, str(path), storage_file(path)]
    if path.is_dir():
        paths.append(path / "metadata.yaml")
    for each in paths:
        source = open_source(each)
        assert isinstance(source, BagSource)
        assert_on_arc(list(source))


def test_options_reach_the_bag(tmp_path):
    path = write_bag(tmp_path / "drive", pictures(), arc(3))
    options = SourceOptions(
        "/camera/image_raw", "/odom", extrinsics=Pose.from_xyz_yaw(0, 0, 1), poses_required=False
    )
    frames = list(open_source(path, options))
    assert len(frames) == COUNT
    np.testing.assert_allclose(frames[0].pose.position[2], 0.05 - 1)
    assert frames[-1].pose is None
    with pytest.raises(SourceError, match="no image on /other"):
        open_source(path, SourceOptions(image_topic="/other"))
    assert len(list(open_source(path, SourceOptions(max_gap=0.5, poses_required=False)))) == COUNT
    assert all(
        frame.pose is None for frame in open_source(path, SourceOptions(max_gap=0.5, poses_required=False))
    )


def test_catalogue_and_folder(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), known_picture())
    (tmp_path / "Places.CSV").write_text("image,x,y\na.png,1,2\n")
    for path, has_pose in ((tmp_path / "Places.CSV", True), (tmp_path, False)):
        source = open_source(path)
        assert isinstance(source, CatalogueSource)
        (frame,) = source
        assert (frame.pose is not None) == has_pose


@pytest.mark.parametrize("name", ["drive.mcap", "drive.db3", "drive.bag", "places.csv"])
def test_a_pipe_is_no_source(tmp_path, name):
    os.mkfifo(tmp_path / name)
    with pytest.raises(SourceError, match="is no regular file"):
        open_source(tmp_path / name)


@pytest.mark.parametrize("open_it", [open_source, BagSource.open, CatalogueSource.from_csv])
@pytest.mark.parametrize("name", ["~no-such-user/drive", "null\0byte", ""])
def test_what_is_no_name_is_refused(open_it, name):
    with pytest.raises(NetvladError, match=r"no user no-such-user|name of a file or folder"):
        open_it(name)


def test_options_without_effect_are_refused(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), known_picture())
    with pytest.raises(SourceError, match="is no bag: image_topic and pose_topic would have no effect"):
        open_source(tmp_path, SourceOptions(image_topic="/camera", pose_topic="/odom"))
    assert len(open_source(tmp_path, SourceOptions(base_frame="base", max_gap=3.0))) == 1


def test_what_is_no_source(tmp_path):
    expected = r"expected a bag \(rosbag2 directory, .mcap, .db3 or .bag\), a catalogue .csv"
    with pytest.raises(SourceError, match=f"nowhere does not exist; {expected}"):
        open_source(tmp_path / "nowhere")
    (tmp_path / "film.mp4").touch()
    with pytest.raises(SourceError, match=f"film.mp4 is no source of images; {expected}"):
        open_source(tmp_path / "film.mp4")
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match="no images in"):
        open_source(tmp_path / "empty")
