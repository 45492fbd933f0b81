// https://developer.apple.com/documentation/coremedia
@_exported import CoreVideo
import Foundation

// https://developer.apple.com/documentation/coremedia/cmsamplebuffer
public class CMSampleBuffer {
    public let imageBuffer: CVImageBuffer?

    @_spi(Checks) public init(_ buffer: CVImageBuffer?) {
        imageBuffer = buffer
    }
}
public func CMSampleBufferGetImageBuffer(_ sbuf: CMSampleBuffer) -> CVImageBuffer? { sbuf.imageBuffer }

// https://developer.apple.com/documentation/coremedia/cmtime
public struct CMTime: Sendable {
    public let seconds: Double

    public init(value: Int64, timescale: Int32) {
        seconds = Double(value) / Double(timescale)
    }
    public init(seconds: Double, preferredTimescale: Int32) {
        self.seconds = seconds
    }
}
