// https://developer.apple.com/documentation/quartzcore
import CoreGraphics
import Foundation

// https://developer.apple.com/documentation/quartzcore/calayer
open class CALayer: NSObject {
    open var frame = CGRect.zero
    open var bounds: CGRect {
        get { CGRect(origin: .zero, size: frame.size) }
        set { frame.size = newValue.size }
    }

    public override init() {}
    open func addSublayer(_ layer: CALayer) {}
}
