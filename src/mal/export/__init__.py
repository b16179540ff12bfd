"""ONNX export: write networks as ONNX files, load and check them."""
