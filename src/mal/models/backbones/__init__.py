"""Backbones: images in, one feature map out."""
