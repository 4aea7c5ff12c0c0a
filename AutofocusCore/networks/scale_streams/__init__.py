"""The second system: one network on several scales of the image, merged by location attention and recalibrated."""

from AutofocusCore.networks.scale_streams.loss import scale_streams_loss
from AutofocusCore.networks.scale_streams.model import ScaleStreams, StreamMaps
from AutofocusCore.networks.scale_streams.options import ENCODERS, StreamOptions
from AutofocusCore.networks.scale_streams.variants import VARIANTS

__all__ = ["ENCODERS", "VARIANTS", "ScaleStreams", "StreamMaps", "StreamOptions", "scale_streams_loss"]
