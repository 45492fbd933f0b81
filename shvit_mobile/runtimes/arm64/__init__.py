"""Run ExecuTorch programs on an emulated ARM64 CPU, the architecture of phones.

The logits come from XNNPACK's own ARM64 kernels. The speed under emulation says nothing about a phone.
"""
