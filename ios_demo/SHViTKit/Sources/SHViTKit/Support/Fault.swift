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
}
