# Two images: `robot` has ROS and both nodes, `workstation` the command netvlad without ROS. See compose.yaml.
ARG ROS_DISTRO=jazzy

FROM ros:${ROS_DISTRO}-ros-base AS robot
ARG ROS_DISTRO
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
WORKDIR /ws
COPY package.xml src/netvlad_ros/
# rviz belongs on another machine.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends python3-venv \
    && rosdep update --rosdistro "$ROS_DISTRO" \
    && rosdep install --from-paths src --ignore-src -y --skip-keys rviz2 \
        --dependency-types build --dependency-types buildtool --dependency-types exec \
    && rm -rf /var/lib/apt/lists/*
COPY requirements/robot.txt src/netvlad_ros/requirements/
RUN python3 -m venv --system-site-packages venv && touch venv/COLCON_IGNORE \
    && venv/bin/pip install --no-cache-dir -r src/netvlad_ros/requirements/robot.txt
COPY . src/netvlad_ros
# The nodes run with the Python that builds them, so the environment comes first.
RUN source "/opt/ros/$ROS_DISTRO/setup.bash" && source venv/bin/activate \
    && python -m colcon build --packages-select netvlad_ros --cmake-args -DBUILD_TESTING=OFF
# Nothing here needs root.
RUN useradd --create-home --uid 1001 robot
USER 1001
ENTRYPOINT ["/bin/bash", "-c", "source venv/bin/activate && source install/setup.bash && exec \"$@\"", "--"]
CMD ["ros2", "launch", "netvlad_ros", "localize.launch.py", "map:=/maps/campus"]

FROM python:3.12-slim AS workstation
COPY . /src
RUN pip install --no-cache-dir "/src[faiss]" && rm -rf /src && useradd --create-home --uid 1001 user
USER 1001
WORKDIR /data
ENTRYPOINT ["netvlad"]
CMD ["--help"]
