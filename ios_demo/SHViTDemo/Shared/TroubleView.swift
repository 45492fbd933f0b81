import SHViTDemoCore
import SHViTKit
import SwiftUI

/// An error that fills the screen.
struct TroubleView: View {
    private let title: String
    private let rest: String

    /// Shows an `SHViTError` in its three parts, any other error in its own words.
    init(_ error: any Error) {
        let lines = Wording.reason(error).split(separator: "\n", maxSplits: 1).map(String.init)
        title = lines.first ?? "Something went wrong."
        rest = lines.dropFirst().joined()
    }

    var body: some View {
        ContentUnavailableView(title, systemImage: "exclamationmark.triangle", description: Text(rest))
    }
}

/// An error in a list.
struct TroubleText: View {
    private let reason: String

    init(_ error: any Error) {
        reason = Wording.reason(error)
    }

    /// Shows a reason that is already text.
    init(reason: String) {
        self.reason = reason
    }

    var body: some View {
        // Only the icon is red: red text is hard to read.
        Label {
            Text(reason)
        } icon: {
            Image(systemName: "exclamationmark.triangle").foregroundStyle(.red)
        }
    }
}

/// The screen of an app without models.
struct NoModelView: View {
    var body: some View {
        TroubleView(
            SHViTError.modelNotEmbedded(
                "This app contains no model.", why: "Models are embedded before the app is built.",
                next: "Embed one on your computer: shvit-mobile embed ARTIFACT --into ios_demo"))
    }
}
