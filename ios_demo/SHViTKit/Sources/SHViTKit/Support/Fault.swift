/// What is wrong with a value, and where in its document it is.
struct Fault: Error, Equatable {
    /// The way to the value, as `results.0.load_ms`; empty where it is the whole.
    let place: String
    /// What is wrong, to be read after the place: "is below 0".
    let what: String

    init(_ place: String, _ what: String) {
        self.place = place
        self.what = what
    }

    /// The same fault, seen from a value that holds the faulty one.
    func within(_ outer: String) -> Fault {
        Fault(place.isEmpty ? outer : "\(outer).\(place)", what)
    }
}

/// Something whose values are bound by its schema beyond their types.
protocol Checked {
    /// Throws where a value is one that the schema refuses.
    func check() throws(Fault)
}

extension Checked {
    /// Throws where a field, which is bound itself, holds a refused value; one that is not there holds none.
    func check(_ part: (some Checked)?, _ field: String) throws(Fault) {
        do { try part?.check() } catch { throw error.within(field) }
    }

    /// As above, of every element of a list.
    func check(_ parts: [some Checked], _ field: String) throws(Fault) {
        for (index, part) in parts.enumerated() {
            try check(part, "\(field).\(index)")
        }
    }

    /// Throws where a number is not finite or not within its bounds.
    func check(_ value: Double?, _ field: String, in bounds: ClosedRange<Double> = 0...(.greatestFiniteMagnitude))
        throws(Fault)
    {
        if let value, !bounds.contains(value) { throw Fault(field, "is \(value), out of its bounds") }
    }

    /// Throws where a count is below what it has to be.
    func check(_ value: Int?, _ field: String, least: Int = 0) throws(Fault) {
        if let value, value < least { throw Fault(field, "is \(value), below \(least)") }
    }

    /// Throws where a list of numbers holds one that is not finite.
    func check(finite values: [Double], _ field: String) throws(Fault) {
        for (index, value) in values.enumerated() where !value.isFinite {
            throw Fault("\(field).\(index)", "is \(value), not a finite number")
        }
    }

    /// Throws where a list has not as many elements as it has to have.
    func check(count: Int, _ field: String, in bounds: PartialRangeFrom<Int>) throws(Fault) {
        if !bounds.contains(count) { throw Fault(field, "has \(count) elements, fewer than \(bounds.lowerBound)") }
    }

    /// As above, of one number of elements.
    func check(count: Int, _ field: String, is wanted: Int) throws(Fault) {
        if count != wanted { throw Fault(field, "has \(count) elements, not \(wanted)") }
    }

    /// Throws where a text is not 64 hexadecimal digits in lower case.
    func check(sha256 text: String?, _ field: String) throws(Fault) {
        if let text, text.count != 64 || !text.allSatisfy({ "0123456789abcdef".contains($0) }) {
            throw Fault(field, "is \(text), not 64 hexadecimal digits")
        }
    }
}
