"""A SLAM back end in few lines: odometry and our loop closures in a GTSAM pose graph."""
