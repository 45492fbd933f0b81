// https://developer.apple.com/documentation/coregraphics
// Pictures with stored samples, and a context that draws them as Core Graphics does: other values where the color spaces
// differ, and a blend where they are transparent.
@_exported @_spi(Checks) import CoreFoundation
import Foundation

// https://developer.apple.com/documentation/coregraphics/cgimage
public class CGImage {
    public let width: Int
    public let height: Int
    public let bitsPerComponent = 8
    public var bitsPerPixel: Int { isGray ? 8 : 32 }
    public var bytesPerRow: Int { width * bitsPerPixel / 8 }
    public let colorSpace: CGColorSpace?
    public let alphaInfo: CGImageAlphaInfo
    public let bitmapInfo: CGBitmapInfo
    /// Each pixel's red, green, blue and opacity as stored.
    fileprivate let pixels: [SIMD4<UInt8>]
    private var isGray: Bool { colorSpace?.numberOfComponents == 1 }

    @_spi(Checks) public init(
        width: Int, height: Int, pixels: [SIMD4<UInt8>], colorSpace: CGColorSpace?,
        alphaInfo: CGImageAlphaInfo = .noneSkipLast, bitmapInfo: CGBitmapInfo = []
    ) {
        (self.width, self.height, self.pixels) = (width, height, pixels)
        (self.colorSpace, self.alphaInfo, self.bitmapInfo) = (colorSpace, alphaInfo, bitmapInfo)
    }
    /// The first pixel of each block; a block at the right and lower edge may be smaller.
    @_spi(Checks) public func subsampled(by factor: Int) -> CGImage {
        let (rows, columns) = (stride(from: 0, to: height, by: factor), stride(from: 0, to: width, by: factor))
        return CGImage(
            width: (width + factor - 1) / factor, height: (height + factor - 1) / factor,
            pixels: rows.flatMap { row in columns.map { self.pixels[row * self.width + $0] } }, colorSpace: colorSpace,
            alphaInfo: alphaInfo, bitmapInfo: bitmapInfo)
    }
    public func copy() -> CGImage? { self }
    public func copy(colorSpace: CGColorSpace) -> CGImage? {
        guard colorSpace.numberOfComponents == self.colorSpace?.numberOfComponents else { return nil }
        return CGImage(width: width, height: height, pixels: pixels, colorSpace: colorSpace, alphaInfo: alphaInfo)
    }
    public func cropping(to rect: CGRect) -> CGImage? {
        let (rows, columns) = (Int(rect.minY)..<Int(rect.maxY), Int(rect.minX)..<Int(rect.maxX))
        guard rows.lowerBound >= 0, columns.lowerBound >= 0, rows.upperBound <= height, columns.upperBound <= width
        else {
            return nil
        }
        return CGImage(
            width: columns.count, height: rows.count,
            pixels: rows.flatMap { pixels[$0 * width + columns.lowerBound..<$0 * width + columns.upperBound] },
            colorSpace: colorSpace, alphaInfo: alphaInfo)
    }
}

// https://developer.apple.com/documentation/coregraphics/cgimagealphainfo
public enum CGImageAlphaInfo: UInt32, @unchecked Sendable {
    case none = 0
    case premultipliedLast = 1
    case premultipliedFirst = 2
    case last = 3
    case first = 4
    case noneSkipLast = 5
    case noneSkipFirst = 6
    case alphaOnly = 7
}

// https://developer.apple.com/documentation/coregraphics/cgbitmapinfo
public struct CGBitmapInfo: OptionSet, Sendable {
    public let rawValue: UInt32
    public init(rawValue: UInt32) { self.rawValue = rawValue }
    public static let floatComponents = CGBitmapInfo(rawValue: 1 << 8)
}

// https://developer.apple.com/documentation/coregraphics/cgcolorspace
public class CGColorSpace {
    public let model: CGColorSpaceModel
    public var numberOfComponents: Int {
        switch model {
        case .monochrome, .indexed: 1
        case .cmyk: 4
        default: 3
        }
    }
    /// Of an indexed space: the space of its colors, and these.
    public let baseColorSpace: CGColorSpace?
    public let colorTable: [UInt8]?
    private let name: String
    /// The name of the space of the colors.
    fileprivate var colors: String { baseColorSpace?.name ?? name }

    @_spi(Checks) public init(name: String, model: CGColorSpaceModel) {
        (self.name, self.model, baseColorSpace, colorTable) = (name, model, nil, nil)
    }
    public init?(indexedBaseSpace baseSpace: CGColorSpace, last: Int, colorTable: UnsafePointer<UInt8>) {
        guard (0...255).contains(last) else { return nil }
        let length = (last + 1) * baseSpace.numberOfComponents
        (name, model, baseColorSpace) = ("indexed", .indexed, baseSpace)
        self.colorTable = Array(UnsafeBufferPointer(start: colorTable, count: length))
    }
    public convenience init?(name: CFString) {
        self.init(name: name, model: .rgb)
    }
    public class var sRGB: CFString { "sRGB" }
    public class var displayP3: CFString { "Display P3" }
}
public func CGColorSpaceCreateDeviceRGB() -> CGColorSpace { CGColorSpace(name: "device RGB", model: .rgb) }
public func CGColorSpaceCreateDeviceGray() -> CGColorSpace { CGColorSpace(name: "device gray", model: .monochrome) }

// https://developer.apple.com/documentation/coregraphics/cgcolorspacemodel
public enum CGColorSpaceModel: Int32, @unchecked Sendable {
    case unknown = -1
    case monochrome = 0
    case rgb = 1
    case cmyk = 2
    case lab = 3
    case deviceN = 4
    case indexed = 5
    case pattern = 6
    case XYZ = 7
}

// https://developer.apple.com/documentation/coregraphics/cgcontext
// As of Xcode 16. iOS 27's takes `CGBitmapInfo` and an optional color space, and keeps this one until 27.3.
public class CGContext {
    public let data: UnsafeMutableRawPointer?
    public var interpolationQuality = CGInterpolationQuality.default
    private let width: Int
    private let height: Int
    private let bytesPerRow: Int
    private let space: CGColorSpace
    private let alpha: CGImageAlphaInfo
    private let isOwner: Bool
    private var color = SIMD4<UInt8>(0, 0, 0, 255)

    public init?(
        data: UnsafeMutableRawPointer?, width: Int, height: Int, bitsPerComponent: Int, bytesPerRow: Int,
        space: CGColorSpace, bitmapInfo: UInt32
    ) {
        let isGray = space.model == .monochrome
        guard let alpha = CGImageAlphaInfo(rawValue: bitmapInfo), bitsPerComponent == 8, width > 0, height > 0,
            isGray
                ? alpha == .none
                : [.noneSkipLast, .noneSkipFirst, .premultipliedLast, .premultipliedFirst].contains(alpha)
        else {
            complain("Core Graphics has no context with that size, those bits or that alpha.")
            return nil
        }
        let needed = width * (isGray ? 1 : 4)
        guard bytesPerRow == 0 || bytesPerRow >= needed else {
            complain("A context's rows of \(needed) bytes do not fit into \(bytesPerRow) bytes.")
            return nil
        }
        (self.width, self.height, self.space, self.alpha) = (width, height, space, alpha)
        self.bytesPerRow = bytesPerRow == 0 ? needed : bytesPerRow
        isOwner = data == nil
        self.data = data ?? .allocate(byteCount: self.bytesPerRow * height, alignment: 64)
        if isOwner { self.data?.initializeMemory(as: UInt8.self, repeating: 0, count: self.bytesPerRow * height) }
    }

    deinit {
        if isOwner { data?.deallocate() }
    }

    public func draw(_ image: CGImage, in rect: CGRect, byTiling: Bool = false) {
        guard let source = image.colorSpace, rect.width > 0, rect.height > 0 else { return }
        paint(rect) { row, column in
            let from = min(Int(Double(row) / rect.height * Double(image.height)), image.height - 1)
            let to = min(Int(Double(column) / rect.width * Double(image.width)), image.width - 1)
            let pixel = image.pixels[from * image.width + to]
            // Not the real conversion: it only shows that there is one.
            return source.colors == self.space.colors
                ? pixel : SIMD4(255 - pixel.x, 255 - pixel.y, 255 - pixel.z, pixel.w)
        }
    }
    public func fill(_ rect: CGRect) {
        paint(rect) { _, _ in self.color }
    }
    public func setFillColor(red: CGFloat, green: CGFloat, blue: CGFloat, alpha: CGFloat) {
        func byte(_ value: CGFloat) -> UInt8 { UInt8((value * 255).rounded()) }
        color = SIMD4(byte(red), byte(green), byte(blue), byte(alpha))
    }
    public func setFillColor(gray: CGFloat, alpha: CGFloat) {
        setFillColor(red: gray, green: gray, blue: gray, alpha: alpha)
    }
    public func makeImage() -> CGImage? {
        CGImage(
            width: width, height: height,
            pixels: (0..<height).flatMap { row in (0..<width).map { self.pixel(row, $0) } }, colorSpace: space,
            alphaInfo: alpha)
    }

    /// Lays pixels over those of a rectangle, whose origin is at the bottom left. Memory starts with the top row.
    private func paint(_ rect: CGRect, _ color: (Int, Int) -> SIMD4<UInt8>) {
        let top = height - Int(rect.maxY)
        for row in max(top, 0)..<max(min(top + Int(rect.height), height), max(top, 0)) {
            for column in max(Int(rect.minX), 0)..<max(min(Int(rect.maxX), width), max(Int(rect.minX), 0)) {
                let (new, old) = (color(row - top, column - Int(rect.minX)), pixel(row, column))
                func blend(_ new: UInt8, _ old: UInt8, _ opacity: UInt8) -> UInt8 {
                    UInt8((Int(new) * Int(opacity) + Int(old) * (255 - Int(opacity))) / 255)
                }
                set(
                    row, column,
                    SIMD4(
                        blend(new.x, old.x, new.w), blend(new.y, old.y, new.w), blend(new.z, old.z, new.w), 255))
            }
        }
    }

    private func offset(_ row: Int, _ column: Int) -> Int {
        row * bytesPerRow + column * (space.model == .monochrome ? 1 : 4)
    }
    private var first: Int { [.noneSkipFirst, .premultipliedFirst].contains(alpha) ? 1 : 0 }
    private func pixel(_ row: Int, _ column: Int) -> SIMD4<UInt8> {
        guard let start = data?.advanced(by: offset(row, column)) else { return .zero }
        func sample(_ place: Int) -> UInt8 { start.load(fromByteOffset: place, as: UInt8.self) }
        if space.model == .monochrome { return SIMD4(sample(0), sample(0), sample(0), 255) }
        return SIMD4(sample(first), sample(first + 1), sample(first + 2), sample((first + 3) % 4))
    }
    private func set(_ row: Int, _ column: Int, _ pixel: SIMD4<UInt8>) {
        guard let start = data?.advanced(by: offset(row, column)) else { return }
        if space.model == .monochrome { return start.storeBytes(of: pixel.x, as: UInt8.self) }
        for place in 0..<3 { start.storeBytes(of: pixel[place], toByteOffset: first + place, as: UInt8.self) }
        start.storeBytes(of: pixel.w, toByteOffset: (first + 3) % 4, as: UInt8.self)
    }
}

// https://developer.apple.com/documentation/coregraphics/cginterpolationquality
public enum CGInterpolationQuality: Int32, @unchecked Sendable {
    case `default` = 0
    case none = 1
    case low = 2
    case medium = 4
    case high = 3
}
