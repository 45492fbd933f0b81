#if canImport(CoreVideo)
    import CoreVideo

    /// A camera's frame, which is read where it is, in the formats 32BGRA, 420v and 420f.
    ///
    /// `@unchecked`, since `CVPixelBuffer` is not declared `Sendable`; the camera does not change a frame that is in use.
    public struct CameraFrame: PictureSource, @unchecked Sendable {
        private let buffer: CVPixelBuffer
        private let orientation: Int

        /// Wraps a frame, which is kept until this value is dropped.
        ///
        /// - Parameters:
        ///   - buffer: The frame as the camera delivers it.
        ///   - orientation: The EXIF orientation of the picture in memory, 1 to 8.
        public init(_ buffer: CVPixelBuffer, orientation: Int = 1) {
            self.buffer = buffer
            self.orientation = orientation
        }

        /// Calls `body` with the frame's memory.
        ///
        /// - Throws: `SHViTError` if the frame has another format.
        public func withMemory<Value>(_ body: (PictureMemory) -> Value) throws(SHViTError) -> Value {
            let code = CVPixelBufferGetPixelFormatType(buffer)
            guard let format = CameraFormat(rawValue: code) else {
                throw SHViTError.unsupportedInput(
                    "The camera delivers the pixel format \(code).", why: "32BGRA, 420v or 420f is required.",
                    next: "Set kCVPixelBufferPixelFormatTypeKey in the output's videoSettings.")
            }
            let result = CVPixelBufferLockBaseAddress(buffer, .readOnly)
            guard result == kCVReturnSuccess else { throw .noMemory(result) }
            defer { CVPixelBufferUnlockBaseAddress(buffer, .readOnly) }
            return body(try memory(in: format))
        }

        private func memory(in format: CameraFormat) throws(SHViTError) -> PictureMemory {
            let (height, width) = (CVPixelBufferGetHeight(buffer), CVPixelBufferGetWidth(buffer))
            guard format != .bgra else {
                let bytesPerRow = CVPixelBufferGetBytesPerRow(buffer)
                let bytes = UnsafeRawBufferPointer(
                    start: CVPixelBufferGetBaseAddress(buffer), count: bytesPerRow * height)
                return try PictureMemory(
                    bytes, height: height, width: width, bytesPerRow: bytesPerRow, layout: .bgra,
                    orientation: orientation)
            }
            let matrix = CVBufferCopyAttachment(buffer, kCVImageBufferYCbCrMatrixKey, nil) as? String
            return try PictureMemory(
                luma: plane(0), bytesPerRow: CVPixelBufferGetBytesPerRowOfPlane(buffer, 0), chroma: plane(1),
                chromaBytesPerRow: CVPixelBufferGetBytesPerRowOfPlane(buffer, 1), height: height, width: width,
                conversion: .init(
                    isFullRange: format == .fullRange,
                    isHD: matrix == kCVImageBufferYCbCrMatrix_ITU_R_709_2 as String),
                orientation: orientation)
        }

        private func plane(_ index: Int) -> UnsafeRawBufferPointer {
            UnsafeRawBufferPointer(
                start: CVPixelBufferGetBaseAddressOfPlane(buffer, index),
                count: CVPixelBufferGetBytesPerRowOfPlane(buffer, index) * CVPixelBufferGetHeightOfPlane(buffer, index))
        }
    }

    extension SHViTError {
        /// Core Video's answer if there is no memory for a picture.
        package static func noMemory(_ code: CVReturn) -> SHViTError {
            SHViTError.runtimeFailure(
                "There is not enough memory for a picture.", why: "Core Video returned the error \(code).",
                next: "Close other apps.")
        }
    }
#endif
