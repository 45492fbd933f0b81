#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

// Prints the median CPU time of a frame from memory to tensor in milliseconds, and a checksum of the results.
// Arguments: height and width of the frame in memory, EXIF orientation, number of frames.
let numbers = CommandLine.arguments.dropFirst().compactMap { Int($0) }
let (height, width, orientation, count) = (numbers[0], numbers[1], numbers[2], numbers[3])
// Cameras pad their rows.
let bytesPerRow = width * 4 + 64
var state: UInt32 = 1
let frame = (0..<bytesPerRow * height).map { _ -> UInt8 in
  state = state &* 1_664_525 &+ 1_013_904_223
  return UInt8(state >> 24)
}
let preprocessor = try Preprocessor(Preprocessing())

func processorTime() -> Double {
  var now = timespec()
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now)
  return Double(now.tv_sec) * 1e3 + Double(now.tv_nsec) / 1e6
}

var samples: [Double] = []
var checksum = 0
for _ in 0..<count {
  let begun = processorTime()
  let pixels = try frame.withUnsafeBytes { memory in
    try prepare(
      memory, height: height, width: width, bytesPerRow: bytesPerRow, orientation: orientation)
  }
  let values = preprocessor.rawValues(of: pixels)
  samples.append(processorTime() - begun)
  for value in values { checksum = checksum &* 31 &+ Int(value) }
}
samples.sort()
print(samples[samples.count / 2], checksum)
