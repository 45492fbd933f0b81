"""The reference executor for Core ML packages: `shvit_mobile.runtimes.mil.program.CoreMLProgram`."""
