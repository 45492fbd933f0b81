"""Read the files of Core ML packages: protobuf messages, weights and constants."""
