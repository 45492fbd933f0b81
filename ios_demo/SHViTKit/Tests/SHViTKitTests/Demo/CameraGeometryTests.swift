import Testing

@testable import SHViTDemoCore
@testable import SHViTKit

struct CameraGeometryTests {
    static func picture(_ height: Int, _ width: Int) throws -> RGBImage {
        try RGBImage(height: height, width: width, bytes: [UInt8](repeating: 0, count: height * width * 3))
    }

    @Test("The model sees the middle of the camera's picture")
    func crop() throws {
        let geometry = try CameraGeometry(Self.picture(640, 480), preprocessing: Preprocessing())
        #expect(geometry.aspectRatio == 0.75)
        // 7 of 8 of the narrow side: 420 pixels.
        #expect(abs(geometry.crop.width - 420) < 1e-9)
        #expect(abs(geometry.crop.height - 420) < 1)
        #expect(abs(geometry.crop.left - 30) < 1e-9)
        #expect(abs(geometry.crop.top - 110) < 2)
        let inView = geometry.crop(inViewOfWidth: 240, height: 320)
        #expect(inView.left == geometry.crop.left / 2)
        #expect(inView.bottom == geometry.crop.bottom / 2)
    }

    @Test("A model that squashes sees the same share of both sides, and a wide one a wide rectangle")
    func shapes() throws {
        let squash = Preprocessing(resizeMode: .squash)
        let squashed = try CameraGeometry(Self.picture(640, 480), preprocessing: squash).crop
        #expect(squashed == .init(left: 30, top: 40, right: 450, bottom: 600))
        let letterbox = Preprocessing(
            size: [224, 224], cropRatio: 1, resizeMode: .letterbox, padding: .center, paddingValue: [0, 0, 0])
        let whole = try CameraGeometry(Self.picture(640, 480), preprocessing: letterbox).crop
        #expect(whole == .init(left: 0, top: 0, right: 480, bottom: 640))
        let wide = Preprocessing(size: [100, 200], cropRatio: 1)
        let crop = try CameraGeometry(Self.picture(640, 480), preprocessing: wide).crop
        #expect(abs(crop.width - 480) < 1e-9)
        #expect(abs(crop.height - 240) < 1)
    }

    @Test("A turned picture has the geometry of the upright one")
    func turned() throws {
        let picture = try Self.picture(480, 640)
        let turned = try picture.bytes.withUnsafeBytes { bytes in
            let memory = try PictureMemory(
                bytes, height: 480, width: 640, bytesPerRow: 640 * 3, layout: .rgb, orientation: 6)
            return (memory.uprightSize.height, memory.uprightSize.width)
        }
        #expect(turned == (640, 480))
    }

    /// Pictures, and how they are resized and cropped.
    static let cases: [(height: Int, width: Int, preprocessing: Preprocessing)] = [
        (90, 60, Preprocessing(size: [24, 24], interpolation: .nearest)),
        (60, 97, Preprocessing(size: [24, 32], cropRatio: 1, interpolation: .nearest)),
        (71, 60, Preprocessing(size: [16, 24], cropRatio: 0.5, interpolation: .nearest)),
        (90, 61, Preprocessing(size: [24, 24], interpolation: .nearest, resizeMode: .squash)),
        (50, 90, Preprocessing(size: [20, 10], cropRatio: 0.6, interpolation: .nearest, resizeMode: .squash)),
        // So long that only the middle is resized.
        (4000, 20, Preprocessing(size: [8, 8], interpolation: .nearest)),
    ]

    @Test("Pixels outside the crop change nothing, and those along its sides do", arguments: cases)
    func proof(height: Int, width: Int, preprocessing: Preprocessing) throws {
        let preprocessor = try Preprocessor(preprocessing)
        let dark = try preprocessor.pixels(of: Self.picture(height, width))
        let (rows, columns) = preprocessor.crop(height: height, width: width)
        func sees(_ isLit: (Int, Int) -> Bool) throws -> Bool {
            var bytes: [UInt8] = []
            for row in 0..<height {
                for column in 0..<width { bytes += [UInt8](repeating: isLit(row, column) ? 255 : 0, count: 3) }
            }
            return try preprocessor.pixels(of: RGBImage(height: height, width: width, bytes: bytes)) != dark
        }
        func isOutside(_ place: Int, _ range: Range<Double>) -> Bool {
            Double(place + 1) <= range.lowerBound || Double(place) >= range.upperBound
        }
        #expect(try !sees { isOutside($0, rows) || isOutside($1, columns) })
        // As wide as a pixel of the resized picture, of which the filter takes the middle.
        let high = (rows.upperBound - rows.lowerBound) / Double(preprocessing.size[0])
        let broad = (columns.upperBound - columns.lowerBound) / Double(preprocessing.size[1])
        func isNear(_ place: Int, _ middle: Double, _ length: Double) -> Bool {
            abs(Double(place) + 0.5 - middle) <= max(length, 1) / 2
        }
        #expect(try sees { row, _ in isNear(row, rows.lowerBound + high / 2, high) })
        #expect(try sees { row, _ in isNear(row, rows.upperBound - high / 2, high) })
        #expect(try sees { _, column in isNear(column, columns.lowerBound + broad / 2, broad) })
        #expect(try sees { _, column in isNear(column, columns.upperBound - broad / 2, broad) })
    }
}
