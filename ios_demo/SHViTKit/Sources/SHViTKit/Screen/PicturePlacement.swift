/// A rectangle on a screen, in the view's units from its upper left corner.
public struct ScreenRectangle: Equatable, Sendable {
    /// The sides.
    public let left, top, right, bottom: Double
    /// The width.
    public var width: Double { right - left }
    /// The height.
    public var height: Double { bottom - top }

    /// Creates a rectangle.
    public init(left: Double, top: Double, right: Double, bottom: Double) {
        (self.left, self.top, self.right, self.bottom) = (left, top, right, bottom)
    }
}

/// How a view shows a picture: it finds the place of a detected box on the screen.
public struct PicturePlacement: Equatable, Sendable {
    /// How a picture is scaled to a view, with its aspect ratio, centered.
    public enum Scaling: String, Sendable {
        /// The view shows all of the picture.
        case fit
        /// The picture covers all of the view, which cuts some of it off.
        case fill
    }

    /// The width of the upright picture, in pixels.
    public let width: Int
    /// The height of the upright picture, in pixels.
    public let height: Int
    /// How the picture is scaled.
    public let scaling: Scaling
    /// How often the view turns the upright picture clockwise by 90 degrees.
    public let quarterTurns: Int
    /// Whether the view shows what it has turned as a mirror does, left for right, as for a front camera.
    public let isMirrored: Bool

    /// Describes how a view shows a picture.
    ///
    /// - Parameters:
    ///   - width: The width of the upright picture, in pixels.
    ///   - height: The height of the upright picture, in pixels.
    ///   - scaling: How the picture is scaled (default: the view shows all of it).
    ///   - quarterTurns: How often the view turns the upright picture clockwise by 90 degrees (default: 0).
    ///   - isMirrored: Whether the view then shows it as a mirror does (default: no).
    public init(width: Int, height: Int, scaling: Scaling = .fit, quarterTurns: Int = 0, isMirrored: Bool = false) {
        (self.width, self.height, self.scaling) = (width, height, scaling)
        (self.quarterTurns, self.isMirrored) = (quarterTurns, isMirrored)
    }

    /// Returns where a box of the upright picture lies in a view. It may reach beyond the view with `fill`.
    ///
    /// - Parameters:
    ///   - box: The box, in pixels of the picture.
    ///   - viewWidth: The view's width.
    ///   - viewHeight: The view's height.
    public func rectangle(of box: Box, inViewOfWidth viewWidth: Double, height viewHeight: Double) -> ScreenRectangle {
        rectangle(
            left: Double(box.left), top: Double(box.top), right: Double(box.right), bottom: Double(box.bottom),
            inViewOfWidth: viewWidth, height: viewHeight)
    }

    /// The same for any rectangle, in pixels of the picture.
    package func rectangle(
        left: Double, top: Double, right: Double, bottom: Double, inViewOfWidth viewWidth: Double,
        height viewHeight: Double
    ) -> ScreenRectangle {
        let isTurned = quarterTurns % 2 != 0
        let (shownWidth, shownHeight) = (Double(isTurned ? height : width), Double(isTurned ? width : height))
        let (xScale, yScale) = (viewWidth / shownWidth, viewHeight / shownHeight)
        let scale = scaling == .fit ? min(xScale, yScale) : max(xScale, yScale)
        let (x, y) = ((viewWidth - shownWidth * scale) / 2, (viewHeight - shownHeight * scale) / 2)
        let (one, other) = (shown(left, top), shown(right, bottom))
        return ScreenRectangle(
            left: x + min(one.x, other.x) * scale, top: y + min(one.y, other.y) * scale,
            right: x + max(one.x, other.x) * scale, bottom: y + max(one.y, other.y) * scale)
    }

    /// Returns the place of a point after turn and mirror, in pixels.
    private func shown(_ x: Double, _ y: Double) -> (x: Double, y: Double) {
        let (width, height) = (Double(width), Double(height))
        var place = (x: x, y: y)
        var shownWidth = width
        switch ((quarterTurns % 4) + 4) % 4 {
        case 1: (place, shownWidth) = ((height - y, x), height)
        case 2: place = (width - x, height - y)
        case 3: (place, shownWidth) = ((y, width - x), height)
        default: break
        }
        if isMirrored { place.x = shownWidth - place.x }
        return place
    }
}
