import SHViTKit

/// The geometry of a camera's picture on the screen.
public struct CameraGeometry: Equatable, Sendable {
    /// A rectangle, from the upper left corner.
    public struct Rectangle: Equatable, Sendable {
        /// The sides.
        public let left, top, right, bottom: Double
        /// The width.
        public var width: Double { right - left }
        /// The height.
        public var height: Double { bottom - top }
    }

    /// The width and height of the upright picture, in pixels.
    public let width, height: Int
    /// The part of the picture that the model sees, in pixels.
    public let crop: Rectangle
    /// The shape of a view that shows the whole picture: its width divided by its height.
    public var aspectRatio: Double { Double(width) / Double(height) }

    /// - Parameters:
    ///   - picture: A picture of the camera.
    ///   - preprocessing: The model's preprocessing.
    /// - Throws: `SHViTError` if the picture cannot be read, or the preprocessing is invalid.
    public init(_ picture: some PictureSource, preprocessing: Preprocessing) throws(SHViTError) {
        let size = try picture.withMemory { $0.uprightSize }
        let (rows, columns) = try Preprocessor(preprocessing).crop(height: size.height, width: size.width)
        (width, height) = (size.width, size.height)
        crop = Rectangle(
            left: columns.lowerBound, top: rows.lowerBound, right: columns.upperBound, bottom: rows.upperBound)
    }

    /// Returns the crop in a view that shows the whole picture.
    ///
    /// - Parameters:
    ///   - viewWidth: The view's width.
    ///   - viewHeight: The view's height.
    public func crop(inViewOfWidth viewWidth: Double, height viewHeight: Double) -> Rectangle {
        let (x, y) = (viewWidth / Double(width), viewHeight / Double(height))
        return Rectangle(left: crop.left * x, top: crop.top * y, right: crop.right * x, bottom: crop.bottom * y)
    }
}
