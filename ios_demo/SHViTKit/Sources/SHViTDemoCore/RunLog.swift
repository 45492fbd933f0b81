import Foundation

/// The lines that tell a computer how a benchmark goes. `shvit-mobile phone` follows them until the app exits.
public struct RunLog: Sendable {
    private let runId: String?
    private let write: @Sendable (String) -> Void

    /// - Parameters:
    ///   - runId: The identity that the computer gave the run, at the start of every line; nil if there is none.
    ///   - write: Receives each line. By default it is printed at once; `print` would keep it back in a pipe.
    public init(
        runId: String?,
        write: @escaping @Sendable (String) -> Void = { FileHandle.standardOutput.write(Data("\($0)\n".utf8)) }
    ) {
        self.runId = runId
        self.write = write
    }

    /// Creates the log for a program's arguments, which may be invalid otherwise.
    public init(arguments: [String]) {
        let option = arguments.firstIndex(of: "-\(BenchmarkRequest.runIdOption)")
        self.init(runId: option.map { $0 + 1 }.flatMap { arguments.indices.contains($0) ? arguments[$0] : nil })
    }

    /// Writes a text as a single line.
    public func log(_ text: String) {
        let lines = text.split(whereSeparator: \.isNewline).map { $0.trimmingCharacters(in: .whitespaces) }
        let joined = lines.filter { !$0.isEmpty }.joined(separator: " ")
        write(runId.map { "[\($0)] \(joined)" } ?? joined)
    }
}
