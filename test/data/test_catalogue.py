"""Image files with positions, from a catalogue or from their names, and without."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from netvlad_core.data.catalogue import CatalogueSource
from netvlad_core.data.geometry import Pose
from netvlad_core.errors import ImageError, SourceError
from support.images import known_picture

SECOND = 10**9
PICTURE = known_picture()


def write_pictures(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / name), PICTURE[..., ::-1])


def write_catalogue(folder: Path, *lines: str) -> Path:
    path = folder / "places.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_catalogue_with_all_columns(tmp_path):
    write_pictures(tmp_path, "images/b.png", "images/a.png")
    path = write_catalogue(
        tmp_path,
        "stamp,image,x,y,z,qx,qy,qz,qw,remark",
        "1700000000.123456789,images/b.png,1.5,-2,0.25,0,0,1,1,north",
        "1700000001,images/a.png,3,4,5,0.5,0.5,0.5,0.5,",
    )
    source = CatalogueSource.from_csv(path)
    frames = list(source)
    assert [f.name for f in frames] == ["images/b.png", "images/a.png"]
    assert [f.stamp for f in frames] == [1_700_000_000_123_456_789, 1_700_000_001 * SECOND]
    np.testing.assert_array_equal(frames[0].pose.position, [1.5, -2, 0.25])
    assert frames[0].pose.yaw == pytest.approx(np.pi / 2)
    np.testing.assert_array_equal(frames[1].pose.quaternion, [0.5] * 4)
    np.testing.assert_array_equal(frames[1].decode(), PICTURE)
    assert len(source) == 2
    assert not source.is_stream
    assert source.frame_id == "map"
    assert "places.csv" in source.description
    assert [f.name for f in source] == [f.name for f in frames]


def test_catalogue_with_the_fewest_columns(tmp_path):
    write_pictures(tmp_path, "a.png", "b.png")
    path = write_catalogue(tmp_path, "\ufeff image , x,y", "a.png, 1 ,2", "", "b.png,3,4")
    frames = list(CatalogueSource.from_csv(path))
    assert [f.stamp for f in frames] == [0, SECOND]
    np.testing.assert_array_equal([f.pose.position for f in frames], [[1, 2, 0], [3, 4, 0]])
    np.testing.assert_array_equal(frames[0].pose.quaternion, Pose.identity().quaternion)


def test_catalogue_with_yaw(tmp_path):
    write_pictures(tmp_path, "a.png")
    (frame,) = CatalogueSource.from_csv(write_catalogue(tmp_path, "image,x,y,yaw", "a.png,1,2,-2.5"))
    assert frame.pose.yaw == pytest.approx(-2.5)


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ([""], "lacks the column image and x and y; .* found none"),
        (["image,x,y"], "lists nothing below its header"),
        (["file,x,y", "a.png,1,2"], "lacks the column image; expected image, x, y, .* found file, x, y"),
        (["image;x;y", "a.png;1;2"], "lacks the column image and x and y; .* found image;x;y"),
        (["image,x,y,qx,qy", "a.png,1,2,0,0"], "either yaw or all of qx, qy, qz, qw"),
        (["image,x,y,yaw,qx,qy,qz,qw", "a.png,1,2,0,0,0,0,1"], "either yaw or all of"),
        (["image,x,y,x", "a.png,1,2,3"], "has the column x twice"),
        (["image,x,y", "a.png,1"], "line 2: expected 3 fields"),
        (["image,x,y", "a.png,1,2,3"], "line 2: expected 3 fields"),
        (["image,x,y", "a.png,1,2", "b.png,1,two"], "line 3: y is 'two', expected a finite number"),
        (["image,x,y", "a.png,,2"], "line 2: x is '', expected a finite number"),
        (["image,x,y", "a.png,nan,2"], "line 2: x is 'nan', expected a finite number"),
        (["image,x,y,yaw", "a.png,1,2,inf"], "line 2: yaw is 'inf', expected a finite number"),
        (["image,x,y,qx,qy,qz,qw", "a.png,1,2,0,0,0,0"], "line 2: .* zero length"),
        (["image,x,y,stamp", "a.png,1,2,noon"], "line 2: 'noon' is no number of seconds"),
        (["image,x,y,stamp", "a.png,1,2,1700000000000000000"], "line 2: .*nanoseconds meant"),
        (["image,x,y,stamp", "a.png,1,2,1e999990"], "line 2: .*nanoseconds meant"),
        (["image,x,y,qx,qy,qz,qw", "a.png,1,2,0,0,1e200,1e200"], "line 2: .* no rotation"),
        (["image,x,y", "a.png,1e300,2"], "line 2: .* farther away than any place on Earth"),
        (["image,x,y", "null\0byte.png,1,2", f"{'n' * 5000}.png,1,2"], "none of the 2 images"),
        (["image,x,y", ",1,2"], "line 2: the image is empty"),
        (
            ["image,x,y", "a.png,1,2", "./a.png,3,4"],
            r"line 3: the image ./a.png was there already, in line 2",
        ),
        (["image,x,y", "c.png,1,2", "d.png,1,2"], r"none of the 2 images .* exists, e.g. .*c.png"),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value")
def test_wrong_catalogues_name_file_and_line(tmp_path, lines, found):
    write_pictures(tmp_path, "a.png", "b.png")
    with pytest.raises(SourceError, match=found) as caught:
        CatalogueSource.from_csv(write_catalogue(tmp_path, *lines))
    assert "places.csv" in str(caught.value)


def test_catalogue_that_is_no_text(tmp_path):
    path = tmp_path / "places.csv"
    path.write_bytes(b"\xff\xfe\x00\x80image,x,y")
    with pytest.raises(SourceError, match="cannot read the table"):
        CatalogueSource.from_csv(path)
    with pytest.raises(SourceError, match="cannot read the table"):
        CatalogueSource.from_csv(tmp_path / "none.csv")


def test_missing_file_is_an_image_error_when_decoded(tmp_path):
    write_pictures(tmp_path, "a.png")
    source = CatalogueSource.from_csv(write_catalogue(tmp_path, "image,x,y", "gone.png,1,2", "a.png,3,4"))
    gone, there = source
    with pytest.raises(ImageError, match=r"cannot read the image .*gone\.png"):
        gone.decode()
    np.testing.assert_array_equal(there.decode(), PICTURE)


def test_fingerprint_follows_catalogue_and_images(tmp_path):
    write_pictures(tmp_path, "a.png")
    path = write_catalogue(tmp_path, "image,x,y", "a.png,1,2")
    first = CatalogueSource.from_csv(path).fingerprint
    assert CatalogueSource.from_csv(path).fingerprint == first
    with (tmp_path / "a.png").open("ab") as file:
        file.write(b"more")
    second = CatalogueSource.from_csv(path).fingerprint
    write_catalogue(tmp_path, "image,x,y", "a.png,1,20")
    assert len({first, second, CatalogueSource.from_csv(path).fingerprint}) == 3


AT_NAME = "@500010.5@5300000.25@32@U@47.8@11.0@pano7@03@{heading}@@@512@201906@note@.jpg"


def test_at_names(tmp_path):
    folder = tmp_path / "an@odd@folder" / "database"
    headings = {"": 0.0, "90": 0.0, "0": np.pi / 2, "225": -3 * np.pi / 4}
    write_pictures(folder, *(AT_NAME.format(heading=heading) for heading in headings))
    source = CatalogueSource.from_folder(folder)
    frames = {frame.name: frame for frame in source}
    assert len(frames) == 4
    for heading, yaw in headings.items():
        frame = frames[AT_NAME.format(heading=heading)]
        np.testing.assert_array_equal(frame.pose.position, [500010.5, 5300000.25, 0])
        assert frame.pose.yaw == pytest.approx(yaw, abs=1e-9)
    assert frame.decode().shape == PICTURE.shape
    assert "with @ names" in source.description


def test_short_at_names(tmp_path):
    write_pictures(tmp_path, "@10@20@.jpg", "@11@20@@@@@@@@@@@@@.jpg")
    positions = [frame.pose.position[:2].tolist() for frame in CatalogueSource.from_folder(tmp_path)]
    assert positions == [[10, 20], [11, 20]]


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["@1@2@.jpg", "plain.jpg"], "some images have a position .* @1@2@.jpg and plain.jpg"),
        (["@one@2@.jpg"], r"@one@2@.jpg carries no position: could not convert .*expected @easting@northing"),
        (["@nan@2@.jpg"], "carries no position: pose is not finite"),
        (["@1@.jpg"], "carries no position"),
        (["@1@2@32@U@.jpg", "@1@3@33@U@.jpg"], "UTM zones 32, 33, whose metres do not compare"),
    ],
)
def test_wrong_at_names(tmp_path, names, found):
    write_pictures(tmp_path, *names)
    with pytest.raises(SourceError, match=found):
        CatalogueSource.from_folder(tmp_path)


def test_plain_folder_in_natural_order(tmp_path):
    ordered = ["image_1.jpg", "image_2.png", "image_10.jpg", "lap1/a2.jpg", "lap2/a1.jpg", "lap10/a1.JPG"]
    write_pictures(tmp_path, *reversed(ordered))
    write_pictures(tmp_path, ".trash/old.jpg", ".hidden.jpg")
    (tmp_path / "notes.txt").write_text("no picture")
    source = CatalogueSource.from_folder(tmp_path)
    frames = list(source)
    assert [f.name for f in frames] == ordered
    assert [f.stamp for f in frames] == [i * SECOND for i in range(6)]
    assert {f.pose for f in frames} == {None}
    assert "without positions" in source.description


def test_links_are_followed_each_folder_once(tmp_path):
    """Drives gathered by links, two links to one of them, a ring, and a link to nowhere."""
    write_pictures(tmp_path, "drives/monday/1.png", "drives/tuesday/2.png", "all/0.png", "other/3.png")
    gathered = tmp_path / "all"
    for name in ("monday", "tuesday"):
        (gathered / name).symlink_to(tmp_path / "drives" / name)
    (gathered / "again").symlink_to(tmp_path / "drives" / "monday")
    (gathered / "ring").symlink_to(gathered)
    (tmp_path / "drives" / "tuesday" / "back").symlink_to(gathered)
    (gathered / "gone").symlink_to(tmp_path / "nowhere")
    (gathered / "4.png").symlink_to(tmp_path / "other" / "3.png")
    (gathered / "5.png").symlink_to(tmp_path / "nowhere.png")
    frames = list(CatalogueSource.from_folder(gathered))
    assert [frame.name for frame in frames] == ["0.png", "4.png", "5.png", "again/1.png", "tuesday/2.png"]
    assert frames[1].decode().shape == PICTURE.shape
    with pytest.raises(ImageError, match="cannot read the image") as caught:
        frames[2].decode()
    assert caught.value.kind == "missing image file"


def test_pictures_that_are_not_read_are_counted(tmp_path):
    write_pictures(tmp_path, "a.jpg", "b/c.png")
    for name in ("1.HEIC", "b/2.heic", "3.avif", "4.gif", "5.NEF", ".6.heic", "notes.txt", "7.mp4"):
        (tmp_path / name).write_bytes(b"?")
    source = CatalogueSource.from_folder(tmp_path)
    assert {reason.split()[0]: count for reason, count in source.skipped.items()} == {
        ".heic": 2,
        ".avif": 1,
        ".gif": 1,
        ".nef": 1,
    }
    assert (len(list(source)), source.usable, len(source)) == (2, 2, 7)


def test_folder_of_nothing_but_pictures_that_are_not_read(tmp_path):
    (tmp_path / "1.heic").touch()
    with pytest.raises(SourceError, match=r"no images in .*; found 1 .heic file, a format that is not read"):
        CatalogueSource.from_folder(tmp_path)


@pytest.mark.parametrize("suffix", [".jfif", ".jpe", ".JPE"])
def test_other_names_of_jpeg(tmp_path, suffix):
    write_pictures(tmp_path, "a.jpg")
    (tmp_path / "a.jpg").rename(tmp_path / f"a{suffix}")
    (frame,) = CatalogueSource.from_folder(tmp_path)
    assert frame.decode().shape == PICTURE.shape


def test_folder_without_images(tmp_path):
    with pytest.raises(SourceError, match=r"no images in .* expected files ending in .jpg"):
        CatalogueSource.from_folder(tmp_path)
    with pytest.raises(SourceError, match="is no folder"):
        CatalogueSource.from_folder(tmp_path / "none")


def test_real_folders(shared_data):
    source = CatalogueSource.from_folder(shared_data / "vprbench_corridor" / "database")
    frames = list(source)
    assert len(frames) == 111
    assert frames[0].decode().shape == (120, 160, 3)
    assert frames[1].name < frames[10].name
    loop = [f.name for f in CatalogueSource.from_folder(shared_data / "toshiki_loop" / "images")]
    assert loop == [f"image_{i}.png" for i in range(len(loop))]


def test_real_catalogue(shared_data, tmp_path):
    lines = (shared_data / "toshiki_loop" / "poses.csv").read_text().splitlines()
    folder = shared_data / "toshiki_loop"
    rows = ["image,x,y,yaw", *(f"{folder}/{line}" for line in lines[1:])]
    frames = list(CatalogueSource.from_csv(write_catalogue(tmp_path, *rows)))
    steps = np.linalg.norm(np.diff([f.pose.position for f in frames], axis=0), axis=1)
    assert np.median(steps) == pytest.approx(3.06, abs=0.05)
    assert frames[3].decode().shape == (240, 426, 3)


def test_pipes_and_devices_are_neither_tables_nor_images(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "zero.png").symlink_to("/dev/zero")
    write_pictures(tmp_path, "a.png")
    names = ["pipe.png", "zero.png", "null\0byte.png", f"{'n' * 5000}.png", "a.png"]
    rows = [f"{name},{row},2" for row, name in enumerate(names)]
    *odd, last = CatalogueSource.from_csv(write_catalogue(tmp_path, "image,x,y", *rows))
    for frame, found in zip(odd, ("no regular file", "no regular file", "no file can have", "too long")):
        with pytest.raises(ImageError, match=found):
            frame.decode()
    assert last.decode().ndim == 3
    for name in ("pipe.png", "zero.png"):
        with pytest.raises(SourceError, match="is no regular file"):
            CatalogueSource.from_csv(tmp_path / name)
