"""TFMessage where tf2_msgs is installed, else None: a ROS installation has it, PyPI does not."""

try:
    from tf2_msgs.msg import TFMessage
except ImportError:
    TFMessage = None

__all__ = ["TFMessage"]
