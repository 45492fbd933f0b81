import SHViTKit

/// The geometry of a camera's picture on the screen.
public struct CameraGeometry: Equatable, Sendable {
    /// How a view shows the upright picture.
    public let placement: PicturePlacement
    /// The part of the picture that the model sees, in pixels.
    public let crop: ScreenRectangle
    /// The shape of a view that shows the whole picture: its width divided by its height.
    public var aspectRatio: Double { Double(placement.width) / Double(placement.height) }

    /// - Parameters:
    ///   - picture: A picture of the camera.
    ///   - preprocessing: The model's preprocessing.
    /// - Throws: `SHViTError` if the picture cannot be read, or the preprocessing is invalid.
    public init(_ picture: some PictureSource, preprocessing: Preprocessing) throws(SHViTError) {
        let size = try picture.withMemory { $0.uprightSize }
        let (rows, columns) = try Preprocessor(preprocessing).crop(height: size.height, width: size.width)
        placement = PicturePlacement(width: size.width, height: size.height)
        crop = ScreenRectangle(
            left: max(columns.lowerBound, 0), top: max(rows.lowerBound, 0),
            right: min(columns.upperBound, Double(size.width)), bottom: min(rows.upperBound, Double(size.height)))
    }

    /// Returns the crop in a view that shows the whole picture.
    ///
    /// - Parameters:
    ///   - viewWidth: The view's width.
    ///   - viewHeight: The view's height.
    public func crop(inViewOfWidth viewWidth: Double, height viewHeight: Double) -> ScreenRectangle {
        placement.rectangle(
            left: crop.left, top: crop.top, right: crop.right, bottom: crop.bottom, inViewOfWidth: viewWidth,
            height: viewHeight)
    }
}
