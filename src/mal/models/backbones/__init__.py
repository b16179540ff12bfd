"""Backbones: images in, one feature map out."""

from mal.runtime.lightning_internals import import_timm

import_timm()
