import AVFoundation
import SwiftUI
import UIKit

/// The camera's whole picture.
struct CameraPreview: UIViewRepresentable {
    let session: AVCaptureSession

    func makeUIView(context: Context) -> PreviewView {
        PreviewView(session: session)
    }

    func updateUIView(_ view: PreviewView, context: Context) {
        view.preview.session = session
    }
}

/// A view whose preview layer always has its size.
final class PreviewView: UIView {
    let preview: AVCaptureVideoPreviewLayer

    init(session: AVCaptureSession) {
        preview = AVCaptureVideoPreviewLayer(session: session)
        super.init(frame: .zero)
        preview.videoGravity = .resizeAspect
        layer.addSublayer(preview)
    }

    @available(*, unavailable)
    required init?(coder: NSCoder) {
        // Nothing to decode: no storyboard contains this view.
        return nil
    }

    override func layoutSubviews() {
        super.layoutSubviews()
        preview.frame = bounds
    }
}
