"""The versions of ONNX's operators that an artifact can have."""

# The version that PyTorch's exporter translates operators to. Later ones define these operators in the same way.
EXPORTED_OPSET = 18
# The last is the last that ONNX Runtime 1.23, the oldest supported, can read.
OPSETS = range(EXPORTED_OPSET, 24)
