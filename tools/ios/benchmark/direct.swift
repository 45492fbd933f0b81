/// Reads the frame where it is.
func prepare(
  _ memory: UnsafeRawBufferPointer, height: Int, width: Int, bytesPerRow: Int, orientation: Int
) throws -> RGBImage {
  preprocessor.pixels(
    of: try PictureMemory(
      memory, height: height, width: width, bytesPerRow: bytesPerRow, layout: .bgra,
      orientation: orientation))
}
