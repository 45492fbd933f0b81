import AVFoundation
import SwiftUI
import UIKit

/// What the camera sees, filling the view.
struct CameraPreview: UIViewRepresentable {
    let session: AVCaptureSession

    func makeUIView(context: Context) -> PreviewView {
        PreviewView(session: session)
    }

    func updateUIView(_ view: PreviewView, context: Context) {
        view.preview.session = session
    }
}

/// A view with a preview as large as itself.
final class PreviewView: UIView {
    let preview: AVCaptureVideoPreviewLayer

    init(session: AVCaptureSession) {
        preview = AVCaptureVideoPreviewLayer(session: session)
        super.init(frame: .zero)
        preview.videoGravity = .resizeAspectFill
        layer.addSublayer(preview)
    }

    @available(*, unavailable)
    required init?(coder: NSCoder) {
        // Nothing is decoded: this view is in no storyboard.
        return nil
    }

    override func layoutSubviews() {
        super.layoutSubviews()
        preview.frame = bounds
    }
}
