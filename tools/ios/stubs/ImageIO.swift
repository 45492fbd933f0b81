// https://developer.apple.com/documentation/imageio
// Decodes the files that a check defines.
@_exported @_spi(Checks) import CoreGraphics
import Foundation

/// The content of an encoded picture, by the file's bytes.
@_spi(Checks) public struct EncodedPicture {
    /// What the file says about the picture's size.
    public var width: Int
    public var height: Int
    public var orientation: Int?
    /// The decoded picture; nil if the file is damaged.
    public var image: CGImage?

    public init(width: Int, height: Int, orientation: Int? = nil, image: CGImage?) {
        (self.width, self.height, self.orientation, self.image) = (width, height, orientation, image)
    }

    private static let lock = NSLock()
    private static var files: [Data: EncodedPicture] = [:]
    public static subscript(file: Data) -> EncodedPicture? {
        get { lock.withLock { files[file] } }
        set { lock.withLock { files[file] = newValue } }
    }
}

// https://developer.apple.com/documentation/imageio/cgimagesource
public class CGImageSource {
    fileprivate let picture: EncodedPicture

    fileprivate init?(_ data: Data) {
        guard let picture = EncodedPicture[data] else { return nil }
        self.picture = picture
    }
}
public func CGImageSourceCreateWithData(_ data: CFData, _ options: CFDictionary?) -> CGImageSource? {
    CGImageSource(data)
}
public func CGImageSourceCreateWithURL(_ url: CFURL, _ options: CFDictionary?) -> CGImageSource? {
    (try? Data(contentsOf: url)).flatMap(CGImageSource.init)
}
public func CGImageSourceGetCount(_ isrc: CGImageSource) -> Int { 1 }
public func CGImageSourceCreateImageAtIndex(
    _ isrc: CGImageSource, _ index: Int, _ options: CFDictionary?
) -> CGImage? {
    if index != 0 { complain("Picture \(index) of a file with one picture was decoded.") }
    if isrc.picture.image == nil { complain("A picture was decoded that is too large or damaged.") }
    guard let factor = options?[kCGImageSourceSubsampleFactor] as? Int else {
        return index == 0 ? isrc.picture.image : nil
    }
    if ![2, 4, 8].contains(factor) { complain("A picture was subsampled by \(factor).") }
    return index == 0 ? isrc.picture.image?.subsampled(by: factor) : nil
}
public func CGImageSourceCreateThumbnailAtIndex(
    _ isrc: CGImageSource, _ index: Int, _ options: CFDictionary?
) -> CGImage? {
    CGImageSourceCreateImageAtIndex(isrc, index, options)
}
public func CGImageSourceCopyPropertiesAtIndex(
    _ isrc: CGImageSource, _ index: Int, _ options: CFDictionary?
) -> CFDictionary? {
    var properties: CFDictionary = [
        kCGImagePropertyPixelWidth: NSNumber(value: isrc.picture.width),
        kCGImagePropertyPixelHeight: NSNumber(value: isrc.picture.height),
    ]
    if let orientation = isrc.picture.orientation {
        properties[kCGImagePropertyOrientation] = NSNumber(value: orientation)
    }
    return index == 0 ? properties : nil
}

// https://developer.apple.com/documentation/imageio/image-properties
public let kCGImagePropertyOrientation: CFString = "Orientation"
public let kCGImagePropertyPixelWidth: CFString = "PixelWidth"
public let kCGImagePropertyPixelHeight: CFString = "PixelHeight"
public let kCGImageSourceShouldCache: CFString = "ShouldCache"
public let kCGImageSourceSubsampleFactor: CFString = "SubsampleFactor"
public let kCGImageSourceCreateThumbnailFromImageAlways: CFString = "CreateThumbnailFromImageAlways"
public let kCGImageSourceCreateThumbnailWithTransform: CFString = "CreateThumbnailWithTransform"
public let kCGImageSourceThumbnailMaxPixelSize: CFString = "ThumbnailMaxPixelSize"

// https://developer.apple.com/documentation/imageio/cgimagepropertyorientation
public enum CGImagePropertyOrientation: UInt32, @unchecked Sendable {
    case up = 1
    case upMirrored = 2
    case down = 3
    case downMirrored = 4
    case leftMirrored = 5
    case right = 6
    case rightMirrored = 7
    case left = 8
}
