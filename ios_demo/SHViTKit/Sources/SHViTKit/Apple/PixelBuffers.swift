#if canImport(CoreVideo)
    import CoreVideo

    extension RGBImage {
        /// A frame of the camera, whose output has to be of 32 bits a pixel, blue first.
        ///
        /// - Parameters:
        ///   - frame: as the camera gives it.
        ///   - orientation: EXIF's, where the camera's connection does not turn its frames itself.
        /// - Throws: `SHViTError` where the frame is of another format.
        public init(_ frame: CVPixelBuffer, orientation: Int = 1) throws(SHViTError) {
            let format = CVPixelBufferGetPixelFormatType(frame)
            guard format == kCVPixelFormatType_32BGRA else {
                throw SHViTError(
                    "The camera's pixels are of the format \(format).", why: "32BGRA is expected.",
                    next: "Set kCVPixelBufferPixelFormatTypeKey in the output's videoSettings.")
            }
            let picture = try Self.locked(frame, .readOnly) { memory, bytesPerRow in
                RGBImage(
                    UnsafeRawBufferPointer(memory), height: CVPixelBufferGetHeight(frame),
                    width: CVPixelBufferGetWidth(frame), bytesPerRow: bytesPerRow, layout: .bgra)
            }
            self = picture.upright(from: orientation)
        }

        /// The picture as Core ML takes it.
        ///
        /// - Throws: `SHViTError` where there is no memory for it.
        func pixelBuffer() throws(SHViTError) -> CVPixelBuffer {
            // Of an IOSurface, which the GPU and the Neural Engine read where it is.
            let attributes = [kCVPixelBufferIOSurfacePropertiesKey: [String: Int]()] as CFDictionary
            var made: CVPixelBuffer?
            let code = CVPixelBufferCreate(
                kCFAllocatorDefault, width, height, kCVPixelFormatType_32BGRA, attributes, &made)
            guard code == kCVReturnSuccess, let buffer = made else { throw Self.noMemory(code) }
            try Self.locked(buffer, []) { memory, bytesPerRow in
                write(into: memory, bytesPerRow: bytesPerRow, layout: .bgra)
            }
            return buffer
        }

        /// What `body` makes of a buffer's memory and the bytes that a row takes there.
        private static func locked<Value>(
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
            SHViTError("There is no memory for a picture.", why: "Core Video says \(code).", next: "Close other apps.")
        }
    }
#endif
