// https://developer.apple.com/documentation/avfoundation/capture-setup
// A session that complains about wrong threads and wrong order, and a camera that films a scene which a check sets.
@_exported @_spi(Checks) import CoreMedia
@_spi(Checks) import CoreFoundation
import Dispatch
import Foundation
import QuartzCore

// https://developer.apple.com/documentation/avfoundation/avmediatype
public struct AVMediaType: Hashable, RawRepresentable, @unchecked Sendable {
    public let rawValue: String
    public init(rawValue: String) {
        self.rawValue = rawValue
    }
    public static let video = AVMediaType(rawValue: "vide")
    public static let audio = AVMediaType(rawValue: "soun")
}

// https://developer.apple.com/documentation/avfoundation/avauthorizationstatus
public enum AVAuthorizationStatus: Int, @unchecked Sendable {
    case notDetermined = 0
    case restricted = 1
    case denied = 2
    case authorized = 3
}

/// A phone's camera and what the person allows, as a check sets it.
@_spi(Checks) public struct CameraSetup: Sendable {
    /// What the app may do at the start.
    public var authorization = AVAuthorizationStatus.authorized
    /// What the person answers if asked.
    public var answer = true
    /// How often the person was asked.
    public var questions = 0
    /// Whether there is a back camera.
    public var exists = true
    /// Whether a session can take the camera.
    public var isFree = true
    /// The angles by which a connection can turn frames; the first one is the default.
    public var angles = [0, 90, 180, 270]

    public init() {}

    public static var current: CameraSetup {
        get { lock.withLock { value } }
        set { lock.withLock { value = newValue } }
    }
    private static let lock = NSLock()
    private static var value = CameraSetup()
}

// https://developer.apple.com/documentation/avfoundation/avcapturedevice
open class AVCaptureDevice: NSObject, @unchecked Sendable {
    private let position: Position

    fileprivate init(_ position: Position) {
        self.position = position
    }
    open class func `default`(for mediaType: AVMediaType) -> AVCaptureDevice? {
        self.default(.builtInWideAngleCamera, for: mediaType, position: .unspecified)
    }
    open class func `default`(
        _ deviceType: AVCaptureDevice.DeviceType, for mediaType: AVMediaType?, position: AVCaptureDevice.Position
    ) -> AVCaptureDevice? {
        if position != .back { complain("The camera that was asked for is not the back camera.") }
        if mediaType != .video { complain("The camera was not asked for video.") }
        if CameraSetup.current.authorization != .authorized { complain("A camera was opened without permission.") }
        return CameraSetup.current.exists ? AVCaptureDevice(position) : nil
    }
    open class func authorizationStatus(for mediaType: AVMediaType) -> AVAuthorizationStatus {
        CameraSetup.current.authorization
    }
    open class func requestAccess(for mediaType: AVMediaType) async -> Bool {
        await Task.yield()
        CameraSetup.current.questions += 1
        if CameraSetup.current.authorization == .notDetermined {
            CameraSetup.current.authorization = CameraSetup.current.answer ? .authorized : .denied
        }
        return CameraSetup.current.authorization == .authorized
    }
    open var localizedName: String { "Camera" }
    open var uniqueID: String { "camera" }
    open var activeVideoMinFrameDuration = CMTime(value: 1, timescale: 30)
    open func lockForConfiguration() throws {}
    open func unlockForConfiguration() {}
    public struct DeviceType: Hashable, RawRepresentable, @unchecked Sendable {
        public let rawValue: String
        public init(rawValue: String) {
            self.rawValue = rawValue
        }
        public static let builtInWideAngleCamera = DeviceType(rawValue: "wide")
        public static let builtInDualWideCamera = DeviceType(rawValue: "dual")
    }
    public enum Position: Int, @unchecked Sendable {
        case unspecified = 0
        case back = 1
        case front = 2
    }
}

// https://developer.apple.com/documentation/avfoundation/avcaptureinput
open class AVCaptureInput: NSObject {
    public override init() {}
}
open class AVCaptureDeviceInput: AVCaptureInput {
    open private(set) var device: AVCaptureDevice
    public init(device: AVCaptureDevice) throws {
        self.device = device
    }
}

// https://developer.apple.com/documentation/avfoundation/avcaptureoutput
open class AVCaptureOutput: NSObject {
    fileprivate let link = AVCaptureConnection()
    fileprivate var isAdded = false

    public override init() {}
    open func connection(with mediaType: AVMediaType) -> AVCaptureConnection? {
        if !isAdded { complain("A connection was asked for before its output belonged to a session.") }
        return isAdded && mediaType == .video ? link : nil
    }
}

// https://developer.apple.com/documentation/avfoundation/avcapturevideodataoutput
open class AVCaptureVideoDataOutput: AVCaptureOutput {
    open var videoSettings: [String: Any]! = [:]
    open var alwaysDiscardsLateVideoFrames = true
    fileprivate weak var delegate: (any AVCaptureVideoDataOutputSampleBufferDelegate)?
    fileprivate var queue: DispatchQueue?

    public override init() {}
    open func setSampleBufferDelegate(
        _ sampleBufferDelegate: (any AVCaptureVideoDataOutputSampleBufferDelegate)?,
        queue sampleBufferCallbackQueue: DispatchQueue?
    ) {
        (delegate, queue) = (sampleBufferDelegate, sampleBufferCallbackQueue)
        if delegate != nil && queue == nil { complain("Frames have a delegate, but no queue.") }
        if isMain(queue) { complain("Frames are delivered on the main queue, which draws.") }
    }

    /// Films a scene and returns the frame in the format asked for; nil for a format that no camera has.
    fileprivate func film(_ scene: FilmedScene) -> CVPixelBuffer? {
        let key = kCVPixelBufferPixelFormatTypeKey as String
        let format = videoSettings[key] as? OSType ?? kCVPixelFormatType_420YpCbCr8BiPlanarVideoRange
        let known = [
            kCVPixelFormatType_32BGRA, kCVPixelFormatType_420YpCbCr8BiPlanarFullRange,
            kCVPixelFormatType_420YpCbCr8BiPlanarVideoRange,
        ]
        guard known.contains(format) else {
            complain("The camera has no pixel format \(format).")
            return nil
        }
        // The sensor is mounted in landscape: its picture has to be turned by 90 degrees clockwise.
        let turns = (Int(link.videoRotationAngle) / 90 + 3) % 4
        var frame = (0..<turns).reduce(scene) { frame, _ in frame.turnedClockwise }
        if link.isVideoMirrored { frame = frame.mirrored }
        return frame.buffer(in: format)
    }
}

/// A scene, upright, as red, green and blue.
@_spi(Checks) public struct FilmedScene: Sendable {
    public let height: Int
    public let width: Int
    public let colors: [SIMD3<UInt8>]

    public init(height: Int, width: Int, colors: [SIMD3<UInt8>]) {
        (self.height, self.width, self.colors) = (height, width, colors)
    }

    public var turnedClockwise: FilmedScene {
        FilmedScene(
            height: width, width: height,
            colors: (0..<width).flatMap { row in
                (0..<height).map { column in colors[(height - 1 - column) * width + row] }
            })
    }

    public var mirrored: FilmedScene {
        FilmedScene(
            height: height, width: width,
            colors: (0..<height).flatMap { row in (0..<width).map { colors[row * width + width - 1 - $0] } })
    }

    /// Returns the scene as a pixel buffer. Two planes hold its first color's brightness and no color.
    public func buffer(in format: OSType) -> CVPixelBuffer {
        let buffer = CVPixelBuffer(format: format, width: width, height: height)
        if format == kCVPixelFormatType_32BGRA {
            buffer[0] = colors.flatMap { [$0.z, $0.y, $0.x, 9] }
        } else {
            buffer[0] = colors.map(\.x)
            buffer[1] = [UInt8](repeating: 128, count: (width + 1) / 2 * 2 * ((height + 1) / 2))
        }
        return buffer
    }
}

// https://developer.apple.com/documentation/avfoundation/avcapturevideodataoutputsamplebufferdelegate
public protocol AVCaptureVideoDataOutputSampleBufferDelegate: NSObjectProtocol {
    func captureOutput(
        _ output: AVCaptureOutput, didOutput sampleBuffer: CMSampleBuffer, from connection: AVCaptureConnection)
    func captureOutput(
        _ output: AVCaptureOutput, didDrop sampleBuffer: CMSampleBuffer, from connection: AVCaptureConnection)
}
// Both are optional in Objective-C.
extension AVCaptureVideoDataOutputSampleBufferDelegate {
    public func captureOutput(
        _ output: AVCaptureOutput, didOutput sampleBuffer: CMSampleBuffer, from connection: AVCaptureConnection
    ) {
        complain("The delegate does not take frames.")
    }
    public func captureOutput(
        _ output: AVCaptureOutput, didDrop sampleBuffer: CMSampleBuffer, from connection: AVCaptureConnection
    ) {}
}

// https://developer.apple.com/documentation/avfoundation/avcaptureconnection
open class AVCaptureConnection: NSObject {
    open var videoRotationAngle = CGFloat(CameraSetup.current.angles[0]) {
        didSet {
            if !isVideoRotationAngleSupported(videoRotationAngle) {
                complain("The connection cannot turn frames by \(Int(videoRotationAngle)) degrees.")
            }
        }
    }
    open func isVideoRotationAngleSupported(_ videoRotationAngle: CGFloat) -> Bool {
        CameraSetup.current.angles.contains(Int(videoRotationAngle))
    }
    open var isVideoMirrored = false
    open var isVideoMirroringSupported: Bool { true }
    open var isEnabled = true
}

// https://developer.apple.com/documentation/avfoundation/avcapturesession
open class AVCaptureSession: NSObject {
    open var sessionPreset = Preset.high
    open private(set) var inputs: [AVCaptureInput] = []
    open private(set) var outputs: [AVCaptureOutput] = []
    private let lock = NSLock()
    private var running = false
    private var depth = 0
    private var (startCount, stopCount) = (0, 0)
    private static let all = NSLock()
    private static var runningSessions = 0

    /// How many sessions run.
    @_spi(Checks) public static var runningCount: Int { all.withLock { runningSessions } }
    /// How often the session was started and stopped.
    @_spi(Checks) public var starts: Int { lock.withLock { startCount } }
    @_spi(Checks) public var stops: Int { lock.withLock { stopCount } }

    public override init() {}
    deinit {
        if running { complain("A session was dropped while it was running.") }
        if depth != 0 { complain("A session's configuration was not committed.") }
    }

    open func canSetSessionPreset(_ preset: AVCaptureSession.Preset) -> Bool { true }
    open var isRunning: Bool { lock.withLock { running } }
    open func canAddInput(_ input: AVCaptureInput) -> Bool { inputs.isEmpty && CameraSetup.current.isFree }
    open func addInput(_ input: AVCaptureInput) {
        if !canAddInput(input) { complain("A session cannot take the input that was added.") }
        inputs.append(input)
    }
    open func canAddOutput(_ output: AVCaptureOutput) -> Bool { outputs.isEmpty }
    open func addOutput(_ output: AVCaptureOutput) {
        if !canAddOutput(output) { complain("A session cannot take the output that was added.") }
        output.isAdded = true
        outputs.append(output)
    }
    open func beginConfiguration() { depth += 1 }
    open func commitConfiguration() {
        depth -= 1
        if depth < 0 { complain("A session's configuration was committed, but had not begun.") }
    }
    open func startRunning() {
        check("startRunning")
        if inputs.isEmpty || outputs.isEmpty { complain("A session was started without a camera or an output.") }
        if isRunning { complain("A session was started while it was running.") }
        lock.withLock { startCount += 1 }
        change(to: true)
    }
    open func stopRunning() {
        check("stopRunning")
        lock.withLock { stopCount += 1 }
        change(to: false)
    }

    private func check(_ call: String) {
        if isOnMainQueue() { complain("\(call) blocks the main thread.") }
        if depth != 0 { complain("\(call) was called during a configuration.") }
    }

    private func change(to isRunning: Bool) {
        let wasRunning = lock.withLock {
            defer { running = isRunning }
            return running
        }
        guard isRunning != wasRunning else { return }
        let count = Self.all.withLock {
            Self.runningSessions += isRunning ? 1 : -1
            return Self.runningSessions
        }
        if count > 1 { complain("Two sessions run at once.") }
    }

    /// Takes the camera away, or gives it back: the session stops, and the notification is posted.
    @_spi(Checks) public func post(_ name: NSNotification.Name) {
        change(to: false)
        NotificationCenter.default.post(name: name, object: self)
    }

    /// Delivers a frame of a scene to the delegate, on its queue, and returns once the delegate has it.
    @_spi(Checks) public func deliver(_ scene: FilmedScene) {
        guard isRunning, let output = outputs.first as? AVCaptureVideoDataOutput else { return }
        if !output.alwaysDiscardsLateVideoFrames { complain("Late frames are not discarded.") }
        guard output.link.isEnabled, let buffer = output.film(scene) else { return }
        let sample = CMSampleBuffer(buffer)
        output.queue?.sync { output.delegate?.captureOutput(output, didOutput: sample, from: output.link) }
    }

    /// How far the camera turns frames.
    @_spi(Checks) public var angle: Int? { outputs.first.map { Int($0.link.videoRotationAngle) } }

    public class var wasInterruptedNotification: NSNotification.Name { .init("AVCaptureSessionWasInterrupted") }
    public class var interruptionEndedNotification: NSNotification.Name { .init("AVCaptureSessionInterruptionEnded") }
    public class var runtimeErrorNotification: NSNotification.Name { .init("AVCaptureSessionRuntimeError") }
    public struct Preset: Hashable, RawRepresentable, @unchecked Sendable {
        public let rawValue: String
        public init(rawValue: String) {
            self.rawValue = rawValue
        }
        public static let high = Preset(rawValue: "high")
        public static let medium = Preset(rawValue: "medium")
        public static let hd1280x720 = Preset(rawValue: "1280x720")
        public static let vga640x480 = Preset(rawValue: "640x480")
    }
}

// https://developer.apple.com/documentation/avfoundation/avcapturevideopreviewlayer
open class AVCaptureVideoPreviewLayer: CALayer {
    open var session: AVCaptureSession?
    open var connection: AVCaptureConnection? { nil }
    open var videoGravity = AVLayerVideoGravity.resizeAspect

    public init(session: AVCaptureSession) {
        self.session = session
    }
}

// https://developer.apple.com/documentation/avfoundation/avlayervideogravity
public struct AVLayerVideoGravity: Hashable, RawRepresentable, @unchecked Sendable {
    public let rawValue: String
    public init(rawValue: String) {
        self.rawValue = rawValue
    }
    public static let resizeAspect = AVLayerVideoGravity(rawValue: "aspect")
    public static let resizeAspectFill = AVLayerVideoGravity(rawValue: "fill")
}
