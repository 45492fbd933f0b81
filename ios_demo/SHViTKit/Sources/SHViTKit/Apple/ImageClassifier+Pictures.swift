#if canImport(ImageIO)
    import CoreGraphics
    import Foundation
    import ImageIO

    extension ImageClassifier {
        /// Returns the most likely classes of an encoded picture, such as a JPEG or HEIC; follows its EXIF orientation.
        ///
        /// - Parameters:
        ///   - encoded: The bytes of the file.
        ///   - count: The maximum number of classes.
        /// - Throws: `undecodablePicture` if the system cannot decode it, `runtimeFailure` if the model fails.
        public func classify(_ encoded: Data, count: Int = 5) async throws(SHViTError) -> Classification {
            try await classify(RGBImage(decoding: encoded), count: count)
        }

        /// Returns the most likely classes of a decoded picture.
        ///
        /// - Parameters:
        ///   - picture: The picture.
        ///   - orientation: The orientation in which it was taken.
        ///   - count: The maximum number of classes.
        ///   - isolation: The caller's actor, which keeps the picture.
        /// - Throws: `undecodablePicture` if it cannot be drawn, `runtimeFailure` if the model fails.
        public func classify(
            _ picture: CGImage, orientation: CGImagePropertyOrientation = .up, count: Int = 5,
            isolation: isolated (any Actor)? = #isolation
        ) async throws(SHViTError) -> Classification {
            try await classify(DecodedPicture(image: picture, orientation: orientation), count: count)
        }

        /// Converts off the caller's actor, which may be the one that draws.
        private func classify(_ picture: DecodedPicture, count: Int) async throws(SHViTError) -> Classification {
            try await classify(RGBImage(picture.image, orientation: picture.orientation), count: count)
        }
    }

    /// `@unchecked`, since `CGImage`, which never changes, is not declared `Sendable` in every SDK.
    private struct DecodedPicture: @unchecked Sendable {
        let image: CGImage
        let orientation: CGImagePropertyOrientation
    }
#endif

#if canImport(CoreVideo) && canImport(ImageIO)
    import CoreVideo

    extension ImageClassifier {
        /// Returns the most likely classes of a camera's frame in the format 32BGRA, 420v or 420f. Does not copy it.
        ///
        /// - Parameters:
        ///   - frame: The frame, which must not change until the result is there.
        ///   - orientation: The orientation of the picture in memory.
        ///   - count: The maximum number of classes.
        ///   - isolation: The caller's actor, which keeps the frame.
        /// - Throws: `unsupportedInput` if it has another format, `runtimeFailure` if the model fails.
        public func classify(
            _ frame: CVPixelBuffer, orientation: CGImagePropertyOrientation = .up, count: Int = 5,
            isolation: isolated (any Actor)? = #isolation
        ) async throws(SHViTError) -> Classification {
            try await classify(CameraFrame(frame, orientation: Int(orientation.rawValue)), count: count)
        }
    }
#endif

#if canImport(UIKit)
    import UIKit

    extension ImageClassifier {
        /// Returns the most likely classes of a picture in its orientation.
        ///
        /// - Parameters:
        ///   - picture: The picture.
        ///   - count: The maximum number of classes.
        /// - Throws: `unsupportedInput` if it has no bitmap, `runtimeFailure` if the model fails.
        public func classify(_ picture: UIImage, count: Int = 5) async throws(SHViTError) -> Classification {
            try await classify(RGBImage(picture), count: count)
        }
    }
#endif
