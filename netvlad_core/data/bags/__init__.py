"""A drive recorded as a rosbag: images, poses and calibration."""
