#if canImport(CoreVideo)
    import CoreVideo

    extension RGBImage {
        /// Converts a camera frame in the format 32BGRA.
        ///
        /// - Parameters:
        ///   - frame: The frame as the camera delivers it.
        ///   - orientation: The EXIF orientation, if the camera's connection does not rotate frames itself.
        /// - Throws: `SHViTError` if the frame has another format.
        public init(_ frame: CVPixelBuffer, orientation: Int = 1) throws(SHViTError) {
            let format = CVPixelBufferGetPixelFormatType(frame)
            guard format == kCVPixelFormatType_32BGRA else {
                throw SHViTError(
                    "The camera delivers the pixel format \(format).", why: "32BGRA is required.",
                    next: "Set kCVPixelBufferPixelFormatTypeKey in the output's videoSettings.")
            }
            let picture = try Self.withLockedMemory(frame, .readOnly) { memory, bytesPerRow in
                RGBImage(
                    UnsafeRawBufferPointer(memory), height: CVPixelBufferGetHeight(frame),
                    width: CVPixelBufferGetWidth(frame), bytesPerRow: bytesPerRow, layout: .bgra)
            }
            self = picture.upright(from: orientation)
        }

        /// Returns the picture as a pixel buffer for Core ML.
        ///
        /// - Throws: `SHViTError` if there is not enough memory.
        func pixelBuffer() throws(SHViTError) -> CVPixelBuffer {
            // Backed by an IOSurface, which GPU and Neural Engine read without a copy.
            let attributes = [kCVPixelBufferIOSurfacePropertiesKey: [String: Int]()] as CFDictionary
            var made: CVPixelBuffer?
            let code = CVPixelBufferCreate(
                kCFAllocatorDefault, width, height, kCVPixelFormatType_32BGRA, attributes, &made)
            guard code == kCVReturnSuccess, let buffer = made else { throw Self.noMemory(code) }
            try Self.withLockedMemory(buffer, []) { memory, bytesPerRow in
                write(into: memory, bytesPerRow: bytesPerRow, layout: .bgra)
            }
            return buffer
        }

        /// Calls `body` with a buffer's memory and its bytes per row, and returns the result.
        private static func withLockedMemory<Value>(
            _ buffer: CVPixelBuffer, _ flags: CVPixelBufferLockFlags,
            _ body: (UnsafeMutableRawBufferPointer, Int) -> Value
        ) throws(SHViTError) -> Value {
            let code = CVPixelBufferLockBaseAddress(buffer, flags)
            guard code == kCVReturnSuccess else { throw noMemory(code) }
            defer { CVPixelBufferUnlockBaseAddress(buffer, flags) }
            let bytesPerRow = CVPixelBufferGetBytesPerRow(buffer)
            let memory = UnsafeMutableRawBufferPointer(
                start: CVPixelBufferGetBaseAddress(buffer), count: bytesPerRow * CVPixelBufferGetHeight(buffer))
            guard memory.baseAddress != nil else { throw noMemory(code) }
            return body(memory, bytesPerRow)
        }

        private static func noMemory(_ code: CVReturn) -> SHViTError {
            SHViTError(
                "There is not enough memory for a picture.", why: "Core Video returned the error \(code).",
                next: "Close other apps.")
        }
    }
#endif
