"""ExecuTorch programs on ARM64, the instruction set of phones, under user-mode emulation.

Speed under emulation says nothing about a phone; the logits do, since XNNPACK's own ARM64 kernels compute them.
"""
