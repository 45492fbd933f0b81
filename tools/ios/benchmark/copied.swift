/// Copies the frame, turns it, and resamples the copy, as before frames were read where they are.
func prepare(
  _ memory: UnsafeRawBufferPointer, height: Int, width: Int, bytesPerRow: Int, orientation: Int
) throws -> RGBImage {
  let picture = RGBImage(
    memory, height: height, width: width, bytesPerRow: bytesPerRow, layout: .bgra)
  return preprocessor.pixels(of: picture.upright(from: orientation))
}
