"""A corpus of constructed languages whose relatedness is known, for running everything without a network."""

from xalign.data.testbed.write import embedded_testbed, write_testbed

__all__ = ["embedded_testbed", "write_testbed"]
