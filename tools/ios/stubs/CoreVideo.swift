// https://developer.apple.com/documentation/corevideo
// A buffer's memory can only be read while the buffer is locked, and only be written while it is locked for that. Any
// other access ends the program. Rows are padded with noise.
@_exported @_spi(Checks) import CoreFoundation
import Foundation

// https://developer.apple.com/documentation/corevideo/cvpixelbuffer
// Not Sendable, as in the SDK.
public class CVBuffer {
    /// The samples of a plane.
    struct Plane {
        /// The bytes of a row without its padding.
        let bytes: Int
        let bytesPerRow: Int
        let rows: Int
        let memory: GuardedMemory
    }

    @_spi(Checks) public let format: OSType
    @_spi(Checks) public let width: Int
    @_spi(Checks) public let height: Int
    /// The value of `kCVImageBufferYCbCrMatrixKey`.
    @_spi(Checks) public var matrix: String?
    /// The result of locking the buffer.
    @_spi(Checks) public var lockResult = kCVReturnSuccess
    let planes: [Plane]
    private let guardian = NSLock()
    private var flags: [CVPixelBufferLockFlags] = []
    /// How many buffers exist.
    @_spi(Checks) public static var alive: Int { count.withLock { number } }
    private static let count = NSLock()
    private static var number = 0

    /// - Parameter isNoisy: Whether the memory starts with noise; a huge buffer that is mostly unused needs none.
    @_spi(Checks) public init(format: OSType, width: Int, height: Int, isNoisy: Bool = true) {
        (self.format, self.width, self.height) = (format, width, height)
        let isPlanar = [
            kCVPixelFormatType_420YpCbCr8BiPlanarFullRange, kCVPixelFormatType_420YpCbCr8BiPlanarVideoRange,
        ].contains(format)
        let sides =
            isPlanar ? [(width, height), ((width + 1) / 2 * 2, (height + 1) / 2)] : [(width * 4, height)]
        planes = sides.enumerated().map { index, side in
            // The planes have different paddings.
            let bytesPerRow = (side.0 + 63) / 64 * 64 + 64 * (index + 1)
            let memory = GuardedMemory(byteCount: bytesPerRow * side.1)
            if isNoisy { memory.fill { UInt8(truncatingIfNeeded: $0 &* 37 &+ 101) } }
            return Plane(bytes: side.0, bytesPerRow: bytesPerRow, rows: side.1, memory: memory)
        }
        Self.count.withLock { Self.number += 1 }
    }

    deinit {
        if isLocked { complain("A pixel buffer was dropped while it was locked.") }
        Self.count.withLock { Self.number -= 1 }
    }

    @_spi(Checks) public var isLocked: Bool { guardian.withLock { !flags.isEmpty } }

    /// A plane's rows without padding.
    @_spi(Checks) public subscript(plane: Int) -> [UInt8] {
        get {
            let plane = planes[plane]
            return plane.memory.withAccess(PROT_READ) { memory in
                (0..<plane.rows).flatMap {
                    Array(memory[$0 * plane.bytesPerRow..<$0 * plane.bytesPerRow + plane.bytes])
                }
            }
        }
        set {
            let plane = planes[plane]
            plane.memory.withAccess(PROT_READ | PROT_WRITE) { memory in
                for row in 0..<plane.rows {
                    let line = UnsafeMutableRawBufferPointer(
                        rebasing: memory[row * plane.bytesPerRow..<row * plane.bytesPerRow + plane.bytes])
                    line.copyBytes(from: newValue[row * plane.bytes..<(row + 1) * plane.bytes])
                }
            }
        }
    }

    /// Fills rows of a plane with a pattern that fits into them.
    @_spi(Checks) public func fillRows(_ rows: Range<Int>, of plane: Int, with pattern: [UInt8]) {
        let plane = planes[plane]
        plane.memory.withAccess(PROT_READ | PROT_WRITE) { memory in
            for row in rows {
                for place in 0..<plane.bytes {
                    memory[row * plane.bytesPerRow + place] = pattern[place % pattern.count]
                }
            }
        }
    }

    fileprivate func lock(_ wanted: CVPixelBufferLockFlags) -> CVReturn {
        guardian.withLock {
            guard lockResult == kCVReturnSuccess else { return lockResult }
            flags.append(wanted)
            protect()
            return lockResult
        }
    }

    fileprivate func unlock(_ wanted: CVPixelBufferLockFlags) {
        guardian.withLock {
            guard let last = flags.popLast() else {
                return complain("A pixel buffer was unlocked more often than it was locked.")
            }
            if last != wanted { complain("A pixel buffer was unlocked with other flags than it was locked with.") }
            protect()
        }
    }

    private func protect() {
        let access = flags.isEmpty ? PROT_NONE : flags.contains([]) ? PROT_READ | PROT_WRITE : PROT_READ
        for plane in planes { plane.memory.protect(access) }
    }

    fileprivate func address(_ plane: Int) -> UnsafeMutableRawPointer? {
        if !isLocked { complain("The address of a pixel buffer was read while it was not locked.") }
        guard planes.indices.contains(plane) else {
            complain("A pixel buffer of \(planes.count) planes was asked for plane \(plane).")
            return nil
        }
        return planes[plane].memory.start
    }

    fileprivate func plane(_ index: Int) -> Plane? {
        if !planes.indices.contains(index) {
            complain("A pixel buffer of \(planes.count) planes was asked for plane \(index).")
        }
        return planes.indices.contains(index) ? planes[index] : nil
    }
}

/// Memory between two pages that nothing may touch, which is itself untouchable at first.
final class GuardedMemory {
    let start: UnsafeMutableRawPointer
    private let pages: UnsafeMutableRawPointer
    private let size: Int
    private let byteCount: Int
    private var access = PROT_NONE

    private static let page = Int(getpagesize())

    init(byteCount: Int) {
        self.byteCount = byteCount
        size = (byteCount + Self.page - 1) / Self.page * Self.page
        guard
            let pages = mmap(nil, size + 2 * Self.page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0),
            pages != MAP_FAILED
        else { fatalError("There is not enough memory for a pixel buffer.") }
        self.pages = pages
        // Aligned like real ones, its last byte before the second page.
        start = pages + Self.page + (size - byteCount)
    }

    deinit {
        munmap(pages, size + 2 * Self.page)
    }

    func protect(_ access: Int32) {
        self.access = access
        mprotect(pages + Self.page, size, access)
    }

    func fill(_ value: (Int) -> UInt8) {
        withAccess(PROT_READ | PROT_WRITE) { memory in
            for place in memory.indices { memory[place] = value(place) }
        }
    }

    func withAccess<Value>(_ wanted: Int32, _ body: (UnsafeMutableRawBufferPointer) -> Value) -> Value {
        let before = access
        protect(wanted)
        defer { protect(before) }
        return body(UnsafeMutableRawBufferPointer(start: start, count: byteCount))
    }
}

public typealias CVImageBuffer = CVBuffer
public typealias CVPixelBuffer = CVImageBuffer
public typealias CVReturn = Int32
public var kCVReturnSuccess: CVReturn { 0 }
public var kCVPixelFormatType_32BGRA: OSType { 0x4247_5241 }
public var kCVPixelFormatType_32RGBA: OSType { 0x5247_4241 }
public var kCVPixelFormatType_420YpCbCr8BiPlanarFullRange: OSType { 0x3432_3066 }
public var kCVPixelFormatType_420YpCbCr8BiPlanarVideoRange: OSType { 0x3432_3076 }

// https://developer.apple.com/documentation/corevideo/pixel-buffer-attribute-keys
public let kCVPixelBufferPixelFormatTypeKey: CFString = "PixelFormatType"
public let kCVPixelBufferWidthKey: CFString = "Width"
public let kCVPixelBufferHeightKey: CFString = "Height"
public let kCVPixelBufferIOSurfacePropertiesKey: CFString = "IOSurfaceProperties"
public let kCVPixelBufferCGImageCompatibilityKey: CFString = "CGImageCompatibility"

// https://developer.apple.com/documentation/corevideo/cvpixelbufferlockflags
public struct CVPixelBufferLockFlags: OptionSet, @unchecked Sendable {
    public let rawValue: UInt64
    public init(rawValue: UInt64) {
        self.rawValue = rawValue
    }
    public static var readOnly: CVPixelBufferLockFlags { CVPixelBufferLockFlags(rawValue: 1) }
}

// https://developer.apple.com/documentation/corevideo/cvpixelbuffer-q2e
@discardableResult
public func CVPixelBufferCreate(
    _ allocator: CFAllocator?, _ width: Int, _ height: Int, _ pixelFormatType: OSType,
    _ pixelBufferAttributes: CFDictionary?, _ pixelBufferOut: UnsafeMutablePointer<CVPixelBuffer?>
) -> CVReturn {
    pixelBufferOut.pointee = CVPixelBuffer(format: pixelFormatType, width: width, height: height)
    return kCVReturnSuccess
}
@discardableResult
public func CVPixelBufferLockBaseAddress(
    _ pixelBuffer: CVPixelBuffer, _ lockFlags: CVPixelBufferLockFlags
) -> CVReturn {
    pixelBuffer.lock(lockFlags)
}
@discardableResult
public func CVPixelBufferUnlockBaseAddress(
    _ pixelBuffer: CVPixelBuffer, _ unlockFlags: CVPixelBufferLockFlags
) -> CVReturn {
    pixelBuffer.unlock(unlockFlags)
    return kCVReturnSuccess
}
public func CVPixelBufferGetBaseAddress(_ pixelBuffer: CVPixelBuffer) -> UnsafeMutableRawPointer? {
    pixelBuffer.address(0)
}
public func CVPixelBufferGetBytesPerRow(_ pixelBuffer: CVPixelBuffer) -> Int { pixelBuffer.planes[0].bytesPerRow }
public func CVPixelBufferGetWidth(_ pixelBuffer: CVPixelBuffer) -> Int { pixelBuffer.width }
public func CVPixelBufferGetHeight(_ pixelBuffer: CVPixelBuffer) -> Int { pixelBuffer.height }
public func CVPixelBufferGetBaseAddressOfPlane(
    _ pixelBuffer: CVPixelBuffer, _ planeIndex: Int
) -> UnsafeMutableRawPointer? {
    pixelBuffer.address(planeIndex)
}
public func CVPixelBufferGetBytesPerRowOfPlane(_ pixelBuffer: CVPixelBuffer, _ planeIndex: Int) -> Int {
    pixelBuffer.plane(planeIndex)?.bytesPerRow ?? 0
}
public func CVPixelBufferGetHeightOfPlane(_ pixelBuffer: CVPixelBuffer, _ planeIndex: Int) -> Int {
    pixelBuffer.plane(planeIndex)?.rows ?? 0
}
public func CVPixelBufferGetPixelFormatType(_ pixelBuffer: CVPixelBuffer) -> OSType { pixelBuffer.format }

// https://developer.apple.com/documentation/corevideo/cvbuffercopyattachment(_:_:_:)
public enum CVAttachmentMode: UInt32, @unchecked Sendable {
    case shouldNotPropagate = 0
    case shouldPropagate = 1
}
public let kCVImageBufferYCbCrMatrixKey: CFString = "CVImageBufferYCbCrMatrix"
public let kCVImageBufferYCbCrMatrix_ITU_R_709_2: CFString = "ITU_R_709_2"
public let kCVImageBufferYCbCrMatrix_ITU_R_601_4: CFString = "ITU_R_601_4"
public func CVBufferCopyAttachment(
    _ buffer: CVBuffer, _ key: CFString, _ attachmentMode: UnsafeMutablePointer<CVAttachmentMode>?
) -> CFTypeRef? {
    // Boxed on Linux, where a string is no object; a cast to `String` looks into the box.
    key == kCVImageBufferYCbCrMatrixKey ? buffer.matrix as AnyObject? : nil
}

// https://developer.apple.com/documentation/corevideo/cvpixelbufferpool
public class CVPixelBufferPool {
    fileprivate let attributes: [AnyHashable: Any]

    fileprivate init(_ attributes: [AnyHashable: Any]) {
        self.attributes = attributes
    }
}
@discardableResult
public func CVPixelBufferPoolCreate(
    _ allocator: CFAllocator?, _ poolAttributes: CFDictionary?, _ pixelBufferAttributes: CFDictionary?,
    _ poolOut: UnsafeMutablePointer<CVPixelBufferPool?>
) -> CVReturn {
    poolOut.pointee = CVPixelBufferPool(pixelBufferAttributes ?? [:])
    return kCVReturnSuccess
}
@discardableResult
public func CVPixelBufferPoolCreatePixelBuffer(
    _ allocator: CFAllocator?, _ pixelBufferPool: CVPixelBufferPool,
    _ pixelBufferOut: UnsafeMutablePointer<CVPixelBuffer?>
) -> CVReturn {
    let attributes = pixelBufferPool.attributes
    guard let format = attributes[kCVPixelBufferPixelFormatTypeKey] as? OSType,
        let width = attributes[kCVPixelBufferWidthKey] as? Int,
        let height = attributes[kCVPixelBufferHeightKey] as? Int
    else {
        complain("A pool of pixel buffers has no format, width or height.")
        return -6682
    }
    if attributes[kCVPixelBufferIOSurfacePropertiesKey] == nil {
        complain("A pool's pixel buffers have no IOSurface, so Core ML copies them.")
    }
    pixelBufferOut.pointee = CVPixelBuffer(format: format, width: width, height: height)
    return kCVReturnSuccess
}
