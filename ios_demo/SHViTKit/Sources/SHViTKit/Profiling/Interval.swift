#if canImport(os)
    import os

    private let signposter = OSSignposter(
        logHandle: OSLog(subsystem: "SHViTKit", category: .pointsOfInterest))
#endif

/// Runs `body` as an interval among Instruments' points of interest. On other systems it only runs `body`.
func interval<Value>(_ name: StaticString, _ body: () async throws -> Value) async rethrows -> Value {
    #if canImport(os)
        let state = signposter.beginInterval(name, id: signposter.makeSignpostID())
        defer { signposter.endInterval(name, state) }
    #endif
    return try await body()
}
