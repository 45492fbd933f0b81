#if canImport(os)
    import os

    private let signposter = OSSignposter(
        logHandle: OSLog(subsystem: "SHViTKit", category: .pointsOfInterest))
#endif

/// Does some work, which Instruments shows among its points of interest; elsewhere it only does it.
func interval<Value>(_ name: StaticString, _ body: () async throws -> Value) async rethrows -> Value {
    #if canImport(os)
        let state = signposter.beginInterval(name, id: signposter.makeSignpostID())
        defer { signposter.endInterval(name, state) }
    #endif
    return try await body()
}
