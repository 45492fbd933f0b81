/// An invalid value and its location in a document.
struct Fault: Error, Equatable {
    /// The path of the value, such as `results.0.load_ms`; empty for the whole document.
    let place: String
    /// The problem, to be read after the path: "is below 0".
    let what: String

    init(_ place: String, _ what: String) {
        self.place = place
        self.what = what
    }

    /// Creates a fault at a path of a document that is being decoded.
    init(at path: [any CodingKey], _ what: String) {
        let names = path.map { $0.intValue.map(String.init) ?? Self.snakeCase($0.stringValue) }
        self.init(names.joined(separator: "."), what)
    }

    private static func snakeCase(_ name: String) -> String {
        name.reduce(into: "") { text, letter in
            text += letter.isUppercase ? "_\(letter.lowercased())" : String(letter)
        }
    }

    /// Returns the fault with the path extended by an outer field.
    func within(_ outer: String) -> Fault {
        Fault(place.isEmpty ? outer : "\(outer).\(place)", what)
    }
}

/// A type whose schema restricts its values further.
protocol Checked {
    /// Throws if a value violates the schema.
    func check() throws(Fault)
}

extension Checked {
    /// Checks a field's own value, if there is one.
    func check(_ part: (some Checked)?, _ field: String) throws(Fault) {
        do { try part?.check() } catch { throw error.within(field) }
    }

    /// Checks every element of a list.
    func check(_ parts: [some Checked], _ field: String) throws(Fault) {
        for (index, part) in parts.enumerated() {
            try check(part, "\(field).\(index)")
        }
    }

    /// Throws if a number is not finite or out of range.
    func check(_ value: Double?, _ field: String, in bounds: ClosedRange<Double> = 0...(.greatestFiniteMagnitude))
        throws(Fault)
    {
        if let value, !bounds.contains(value) { throw Fault(field, "is \(value), out of range") }
    }

    /// Throws if a count is too small.
    func check(_ value: Int?, _ field: String, least: Int = 0) throws(Fault) {
        if let value, value < least { throw Fault(field, "is \(value), below \(least)") }
    }

    /// Throws if a list contains a number that is not finite.
    func check(finite values: [Double], _ field: String) throws(Fault) {
        for (index, value) in values.enumerated() where !value.isFinite {
            throw Fault("\(field).\(index)", "is \(value), not a finite number")
        }
    }

    /// Throws if a list has too few elements.
    func check(count: Int, _ field: String, in bounds: PartialRangeFrom<Int>) throws(Fault) {
        if !bounds.contains(count) { throw Fault(field, "has \(count) elements, fewer than \(bounds.lowerBound)") }
    }

    /// Throws if a list does not have exactly `wanted` elements.
    func check(count: Int, _ field: String, is wanted: Int) throws(Fault) {
        if count != wanted { throw Fault(field, "has \(count) elements, not \(wanted)") }
    }

    /// Throws if a text is not 64 lowercase hexadecimal digits.
    func check(sha256 text: String?, _ field: String) throws(Fault) {
        if let text, text.count != 64 || !text.allSatisfy({ "0123456789abcdef".contains($0) }) {
            throw Fault(field, "is \(text), not 64 hexadecimal digits")
        }
    }
}
