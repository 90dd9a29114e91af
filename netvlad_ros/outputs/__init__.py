"""Answers in the form that one or another back end takes; each is off unless its parameter asks for it.

robot_localization needs none of them: it takes `~/pose` as it is.
"""

from netvlad_ros.outputs.output import OUTPUTS, Output, open_outputs

__all__ = ["OUTPUTS", "Output", "open_outputs"]
