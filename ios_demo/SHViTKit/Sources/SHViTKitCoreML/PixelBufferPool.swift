#if canImport(CoreML)
    import CoreVideo
    import SHViTKit

    /// Makes pixel buffers for Core ML, and uses the memory of dropped ones again.
    ///
    /// `@unchecked`, since `CVPixelBufferPool`, which any thread may use, is not declared `Sendable`.
    final class PixelBufferPool: @unchecked Sendable {
        private let pool: CVPixelBufferPool

        /// - Throws: `SHViTError` if there is not enough memory.
        init(height: Int, width: Int) throws(SHViTError) {
            let attributes: [String: Any] = [
                kCVPixelBufferPixelFormatTypeKey as String: kCVPixelFormatType_32BGRA,
                kCVPixelBufferHeightKey as String: height,
                kCVPixelBufferWidthKey as String: width,
                // Backed by an IOSurface, which GPU and Neural Engine read without a copy.
                kCVPixelBufferIOSurfacePropertiesKey as String: [String: Int](),
            ]
            var made: CVPixelBufferPool?
            let code = CVPixelBufferPoolCreate(kCFAllocatorDefault, nil, attributes as CFDictionary, &made)
            guard code == kCVReturnSuccess, let made else { throw .noMemory(code) }
            pool = made
        }

        /// Returns a picture of the pool's size as a pixel buffer.
        ///
        /// - Throws: `SHViTError` if there is not enough memory.
        func buffer(of picture: RGBImage) throws(SHViTError) -> CVPixelBuffer {
            var made: CVPixelBuffer?
            let code = CVPixelBufferPoolCreatePixelBuffer(kCFAllocatorDefault, pool, &made)
            guard code == kCVReturnSuccess, let buffer = made else { throw .noMemory(code) }
            let result = CVPixelBufferLockBaseAddress(buffer, [])
            guard result == kCVReturnSuccess else { throw .noMemory(result) }
            defer { CVPixelBufferUnlockBaseAddress(buffer, []) }
            let bytesPerRow = CVPixelBufferGetBytesPerRow(buffer)
            let memory = UnsafeMutableRawBufferPointer(
                start: CVPixelBufferGetBaseAddress(buffer), count: bytesPerRow * CVPixelBufferGetHeight(buffer))
            guard memory.baseAddress != nil else { throw .noMemory(code) }
            picture.write(into: memory, bytesPerRow: bytesPerRow, layout: .bgra)
            return buffer
        }
    }
#endif
