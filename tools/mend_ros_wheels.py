"""Make the CMake files of the ROS wheels name the Python of this environment.

The wheels were built in a container, and the CMake targets they export still point at its Python, so that no
package can be built against them. Run it by the Python of the environment; a second run changes nothing.
"""

import re
import sys
import sysconfig
from pathlib import Path

BUILD_FARM_PREFIX = re.compile(r"/opt/python/cp\d+-cp\d+/(include|lib)/python\d+\.\d+(/site-packages)?")


def mend(text: str) -> str:
    """Replace the include folder and the site-packages of the build farm by those of this interpreter."""
    paths = {"include": sysconfig.get_paths()["include"], "lib": sysconfig.get_paths()["platlib"]}
    return BUILD_FARM_PREFIX.sub(lambda match: paths[match[1]], text)


def main() -> None:
    mended = 0
    for path in Path(sys.prefix, "share").glob("*/cmake/*.cmake"):
        text = path.read_text()
        if (new := mend(text)) != text:
            path.write_text(new)
            mended += 1
    print(f"mended {mended} CMake files of the ROS wheels")


if __name__ == "__main__":
    main()
