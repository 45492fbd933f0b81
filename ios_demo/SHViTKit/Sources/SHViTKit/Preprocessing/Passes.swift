import Foundation

/// Both passes over pictures of one size, with the memory that they need.
///
/// A pass along the rows, which also turns the picture, is followed by one along the columns. Sums are exact in any
/// order: 32-bit integers that wrap around.
final class Passes {
    /// The upright picture's height and width.
    let size: (height: Int, width: Int)
    private let top: Int
    private let left: Int
    private let columns: Resampling
    private let rows: Resampling
    /// Whether the result starts with blue.
    private let isReversed: Bool
    /// The weights of `columns`, four times each for a pixel's samples, with a 0 after an odd number of them.
    private let lanes: [Int32]
    private let laneStarts: [Int]
    /// A few upright rows, four samples a pixel, with a pixel after each row that only has weights of 0.
    private let lines: UnsafeMutablePointer<UInt8>
    /// A part of a stored row, four samples a pixel.
    private let stored: UnsafeMutablePointer<UInt8>
    /// The rows after the first pass, three samples a pixel.
    private let narrow: UnsafeMutablePointer<UInt8>
    private let narrowRow: Int
    private let frame: Frame
    private var result: [UInt8]

    /// The number of rows that are turned at a time: one line of a processor's cache.
    private static let block = 16
    /// The number of sums that the second pass computes at a time.
    private static let chunk = 16

    init(
        size: (height: Int, width: Int), top: Int, left: Int, columns: Resampling, rows: Resampling, isReversed: Bool,
        frame: Frame
    ) {
        self.size = size
        (self.top, self.left, self.columns, self.rows, self.isReversed) = (top, left, columns, rows, isReversed)
        self.frame = frame
        var (lanes, laneStarts): ([Int32], [Int]) = ([], [])
        for position in columns.firsts.indices {
            laneStarts.append(lanes.count)
            let weights = columns.weights[columns.starts[position]..<columns.starts[position + 1]]
            for weight in weights { lanes += [weight, weight, weight, weight] }
            if weights.count % 2 == 1 { lanes += [0, 0, 0, 0] }
        }
        laneStarts.append(lanes.count)
        (self.lanes, self.laneStarts) = (lanes, laneStarts)
        let span = (columns.used.count + 2) * 4
        lines = .allocate(capacity: Self.block * span)
        lines.initialize(repeating: 0, count: Self.block * span)
        stored = .allocate(capacity: max(span, Self.block * 4))
        // The first pass writes a fourth sample, and the second one reads whole chunks.
        narrowRow = (columns.firsts.count * 3 + Self.chunk) / Self.chunk * Self.chunk
        narrow = .allocate(capacity: rows.used.count * narrowRow)
        narrow.initialize(repeating: 0, count: rows.used.count * narrowRow)
        // The padding stays, as only the picture is written.
        result = (0..<frame.height * frame.width * 3).map { frame.value[$0 % 3] }
    }

    deinit {
        lines.deallocate()
        stored.deallocate()
        narrow.deallocate()
    }

    /// Returns the result for a picture of this size.
    func pixels(of picture: PictureMemory) -> RGBImage {
        let turn = Turn(orientation: picture.orientation)
        let isSwapped = picture.isReversed != isReversed
        let step = turn.isTurned ? Self.block : 1
        for start in stride(from: 0, to: rows.used.count, by: step) {
            let count = min(step, rows.used.count - start)
            read(picture, turn, from: top + rows.used.lowerBound + start, count: count)
            for line in 0..<count { passAlongRow(line, to: start + line, isSwapped: isSwapped) }
        }
        passAlongColumns()
        return RGBImage(frame.height, frame.width, result)
    }

    /// Reads upright rows into `lines`.
    private func read(_ picture: PictureMemory, _ turn: Turn, from first: Int, count: Int) {
        let (low, span) = (left + columns.used.lowerBound, columns.used.count)
        if turn.isTurned {
            let column = turn.columnsReversed ? picture.width - first - count : first
            let words = UnsafeMutableRawPointer(lines).assumingMemoryBound(to: UInt32.self)
            let source = UnsafeRawPointer(stored).assumingMemoryBound(to: UInt32.self)
            for place in 0..<span {
                let row = turn.rowsReversed ? picture.height - 1 - (low + place) : low + place
                picture.copy(row: row, from: column, count: count, to: stored)
                for line in 0..<count {
                    let from = turn.columnsReversed ? count &- 1 &- line : line
                    words[line &* (span &+ 2) &+ place] = source[from]
                }
            }
        } else {
            let row = turn.rowsReversed ? picture.height - 1 - first : first
            guard turn.columnsReversed else {
                return picture.copy(row: row, from: low, count: span, to: lines)
            }
            picture.copy(row: row, from: picture.width - low - span, count: span, to: stored)
            let words = UnsafeMutableRawPointer(lines).assumingMemoryBound(to: UInt32.self)
            let source = UnsafeRawPointer(stored).assumingMemoryBound(to: UInt32.self)
            for place in 0..<span { words[place] = source[span &- 1 &- place] }
        }
    }

    /// Resamples a row of `lines` into `narrow`: a pixel's samples in four lanes, two pixels at a time.
    private func passAlongRow(_ line: Int, to row: Int, isSwapped: Bool) {
        let pixels = UnsafeRawPointer(lines + line * (columns.used.count + 2) * 4)
        let target = UnsafeMutableRawPointer(narrow + row * narrowRow)
        let (low, half) = (columns.used.lowerBound, Int32(1) << (Resampling.precision - 1))
        lanes.withUnsafeBytes { lanes in
            columns.firsts.withUnsafeBufferPointer { firsts in
                laneStarts.withUnsafeBufferPointer { starts in
                    guard let base = lanes.baseAddress else { return }
                    for position in firsts.indices {
                        var pixel = pixels + (firsts[position] &- low) &* 4
                        var weight = base + starts[position] &* 4
                        var pairs = (starts[position &+ 1] &- starts[position]) &>> 3
                        var (one, other) = (SIMD8<Int32>(repeating: 0), SIMD8<Int32>(repeating: 0))
                        while pairs >= 2 {
                            one &+= Self.products(pixel, weight)
                            other &+= Self.products(pixel + 8, weight + 32)
                            (pixel, weight, pairs) = (pixel + 16, weight + 64, pairs &- 2)
                        }
                        if pairs == 1 { one &+= Self.products(pixel, weight) }
                        one &+= other
                        var sum = (one.lowHalf &+ one.highHalf &+ half) &>> Resampling.precision
                        sum.clamp(lowerBound: SIMD4(repeating: 0), upperBound: SIMD4(repeating: 255))
                        var samples = SIMD4<UInt8>(truncatingIfNeeded: sum)
                        if isSwapped { samples = SIMD4(samples.z, samples.y, samples.x, samples.w) }
                        (target + position &* 3).storeBytes(of: samples, as: SIMD4<UInt8>.self)
                    }
                }
            }
        }
    }

    @inline(__always)
    private static func products(_ pixels: UnsafeRawPointer, _ weights: UnsafeRawPointer) -> SIMD8<Int32> {
        SIMD8<Int32>(truncatingIfNeeded: pixels.loadUnaligned(as: SIMD8<UInt8>.self))
            &* weights.loadUnaligned(as: SIMD8<Int32>.self)
    }

    /// Resamples the columns of `narrow` into `result`: whole rows times a weight.
    private func passAlongColumns() {
        let (width, low) = (columns.firsts.count * 3, rows.used.lowerBound)
        let half = SIMD16<Int32>(repeating: 1 << (Resampling.precision - 1))
        rows.weights.withUnsafeBufferPointer { weights in
            result.withUnsafeMutableBytes { result in
                guard let end = result.baseAddress else { return }
                for position in rows.firsts.indices {
                    let first = UnsafeRawPointer(narrow + (rows.firsts[position] - low) * narrowRow)
                    let (from, to) = (rows.starts[position], rows.starts[position + 1])
                    let target = end + ((frame.top + position) * frame.width + frame.left) * 3
                    var place = 0
                    while place < width {
                        var (sum, samples) = (half, first + place)
                        for tap in from..<to {
                            sum &+=
                                SIMD16<Int32>(truncatingIfNeeded: samples.loadUnaligned(as: SIMD16<UInt8>.self))
                                &* weights[tap]
                            samples += narrowRow
                        }
                        sum = sum &>> Resampling.precision
                        sum.clamp(lowerBound: SIMD16(repeating: 0), upperBound: SIMD16(repeating: 255))
                        let bytes = SIMD16<UInt8>(truncatingIfNeeded: sum)
                        if place &+ Self.chunk <= width {
                            (target + place).storeBytes(of: bytes, as: SIMD16<UInt8>.self)
                        } else {
                            for lane in 0..<width &- place {
                                target.storeBytes(of: bytes[lane], toByteOffset: place &+ lane, as: UInt8.self)
                            }
                        }
                        place &+= Self.chunk
                    }
                }
            }
        }
    }
}

/// Keeps the passes that are not in use.
final class PassesPool: @unchecked Sendable {
    private let lock = NSLock()
    private var free: [Passes] = []
    /// How many passes were made.
    private(set) var made = 0

    /// Calls `body` with passes for the picture's size, which no other call uses meanwhile.
    func withPasses(
        for picture: PictureMemory, in preprocessor: Preprocessor, _ body: (Passes) -> RGBImage
    ) -> RGBImage {
        let size = picture.uprightSize
        let kept = lock.withLock { () -> Passes? in
            let last = free.popLast()
            if let last, last.size == size { return last }
            made += 1
            return nil
        }
        let passes = kept ?? preprocessor.makePasses(height: size.0, width: size.1)
        defer {
            // One is enough for a camera; more would only hold memory.
            lock.withLock { if free.isEmpty { free.append(passes) } }
        }
        return body(passes)
    }
}
