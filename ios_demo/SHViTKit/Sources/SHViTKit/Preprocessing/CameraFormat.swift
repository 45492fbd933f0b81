/// The pixel formats of camera frames that a preprocessor reads, with Core Video's codes.
enum CameraFormat: UInt32 {
    /// 32BGRA.
    case bgra = 0x4247_5241
    /// 420v: two planes, brightness from 16 to 235.
    case videoRange = 0x3432_3076
    /// 420f: two planes, brightness from 0 to 255.
    case fullRange = 0x3432_3066
}
