"""NetVLAD place recognition for ROS 2: the localizer node, and the messages it speaks."""

from pkgutil import extend_path

# Messages and services are generated into the install folder. Where this package is imported from the source
# folder (`python -m`, tests), this finds netvlad_ros.msg and netvlad_ros.srv there all the same.
__path__ = extend_path(__path__, __name__)
