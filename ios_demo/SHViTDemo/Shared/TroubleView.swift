import SHViTDemoCore
import SHViTKit
import SwiftUI

/// Something that went wrong, in place of what was to be seen.
struct TroubleView: View {
    private let title: String
    private let rest: String

    /// An error of ours in its three parts, another in its own words.
    init(_ error: any Error) {
        let lines = Wording.reason(error).split(separator: "\n", maxSplits: 1).map(String.init)
        title = lines.first ?? "Something went wrong."
        rest = lines.dropFirst().joined()
    }

    var body: some View {
        ContentUnavailableView(title, systemImage: "exclamationmark.triangle", description: Text(rest))
    }
}

/// The same among other things.
struct TroubleText: View {
    private let reason: String

    init(_ error: any Error) {
        reason = Wording.reason(error)
    }

    /// A reason that is in words already.
    init(reason: String) {
        self.reason = reason
    }

    var body: some View {
        // The sign alone is red: text in red is hard to read.
        Label {
            Text(reason)
        } icon: {
            Image(systemName: "exclamationmark.triangle").foregroundStyle(.red)
        }
    }
}

/// What is seen where no model is in the app.
struct NoModelView: View {
    var body: some View {
        TroubleView(
            SHViTError(
                "There is no model in the app.", why: "A model has to be embedded before the app is built.",
                next: "On the computer: shvit-mobile embed ARTIFACT --into ios_demo"))
    }
}
