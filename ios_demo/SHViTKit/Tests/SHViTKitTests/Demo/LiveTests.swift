import Foundation
import Testing

@testable import SHViTDemoCore
@testable import SHViTKit

struct CameraControlTests {
    static func commands(_ events: [CameraControl.Event]) -> [CameraControl.Command?] {
        var control = CameraControl()
        return events.map { control.command(after: $0) }
    }

    @Test("A camera opens once and closes once")
    func once() {
        #expect(Self.commands([.start, .start, .frame, .stop, .stop, .start]) == [.open, nil, nil, .close, nil, nil])
        #expect(Self.commands([.stop, .start]) == [.end, nil])
        #expect(Self.commands([.start, .refused, .stop]) == [.open, .close, nil])
    }

    @Test("An interrupted camera resumes when the system gives it back, unless it was stopped")
    func interrupted() {
        #expect(Self.commands([.start, .interruption, .interruptionEnd]) == [.open, nil, .resume])
        #expect(Self.commands([.start, .interruption, .stop, .interruptionEnd]) == [.open, nil, .close, nil])
        #expect(Self.commands([.interruptionEnd, .interruption]) == [nil, nil])
    }

    @Test("A session that fails is started again, but not twice without a frame")
    func faults() {
        #expect(Self.commands([.start, .fault, .frame, .fault, .fault]) == [.open, .resume, nil, .resume, .close])
    }

    @Test("A frame's orientation makes up for what the camera has not turned", arguments: [0, 90, 180, 270])
    func orientation(angle: Int) throws {
        // The sensor's picture of a scene whose top row is 1 2 3; in portrait it has to be turned by 90 degrees.
        let scene = try RGBImage(height: 2, width: 3, bytes: (1...6).flatMap { [UInt8](repeating: $0, count: 3) })
        let sensor = scene.upright(from: 8)
        let turned = [0: sensor, 90: scene, 180: sensor.upright(from: 3), 270: scene.upright(from: 3)][angle]
        let frame = try #require(turned)
        #expect(frame.upright(from: CameraControl.orientation(ofFrameTurnedBy: angle)) == scene)
    }

    @Test("Whatever happens, a camera is opened at most once, and closed exactly as often when it has been stopped")
    func counts() {
        var generator = SystemRandomNumberGenerator()
        for _ in 0..<500 {
            var control = CameraControl()
            for _ in 0..<12 {
                guard let event = CameraControl.Event.allCases.randomElement(using: &generator) else { return }
                _ = control.command(after: event)
                #expect(control.opens <= 1)
                #expect(control.opens - control.closes == ([.open, .interrupted].contains(control.state) ? 1 : 0))
            }
            _ = control.command(after: .stop)
            #expect(control.opens == control.closes)
            #expect(control.state == .ended)
        }
    }
}

/// Counts the cameras that are open, and the most that ever were.
final class Cameras: Sendable {
    let counts = Locked((open: 0, most: 0, opened: 0))

    var open: Int { counts.withLock { $0.open } }
    var most: Int { counts.withLock { $0.most } }
    var opened: Int { counts.withLock { $0.opened } }
}

/// A camera whose frames a test sends.
final class FakeCamera: CameraFeed {
    let (frames, arrived) = AsyncStream.makeStream(of: RGBImage.self)
    let (interruptions, changed) = AsyncStream.makeStream(of: Bool.self)
    let cameras: Cameras
    let isBroken: Bool
    private let isOpen = Locked(false)

    init(_ cameras: Cameras, isBroken: Bool = false) {
        self.cameras = cameras
        self.isBroken = isBroken
    }

    func start() async throws {
        await Task.yield()
        isOpen.withLock { $0 = true }
        cameras.counts.withLock { counts in
            counts = (counts.open + 1, max(counts.most, counts.open + 1), counts.opened + 1)
        }
        if isBroken { throw SHViTError.runtimeFailure("This camera is broken.") }
    }

    func stop() async {
        await Task.yield()
        let wasOpen = isOpen.withLock { isOpen in
            defer { isOpen = false }
            return isOpen
        }
        if wasOpen { cameras.counts.withLock { $0.open -= 1 } }
        arrived.finish()
        changed.finish()
    }
}

@MainActor
struct LiveTests {
    static func frame() throws -> RGBImage {
        try RGBImage(height: 64, width: 64, bytes: [UInt8](repeating: 9, count: 64 * 64 * 3))
    }

    /// Waits until `isTrue`, which another task makes true.
    static func wait(until isTrue: @MainActor () -> Bool) async {
        for _ in 0..<10_000 where !isTrue() { try? await Task.sleep(for: .milliseconds(1)) }
        #expect(isTrue())
    }

    @Test("A run that is cancelled while the person is asked opens no camera; the next one opens one")
    func firstLaunch() async throws {
        try await withFolder { folder in
            let trial = Trial(try ScreensTests.model(in: folder).0, compute: .cpu)
            let cameras = Cameras()
            let (isTold, tell) = AsyncStream.makeStream(of: Void.self)
            let asked = Locked(0)
            let model = LiveModel(
                sources: ScreensTests.sources,
                isAllowed: {
                    asked.withLock { $0 += 1 }
                    for await _ in isTold { break }
                    // As the system's question does, go on although the task is cancelled.
                    return true
                }, open: { FakeCamera(cameras) })
            let first = Task { await model.run(trial) }
            await Self.wait { asked.withLock { $0 } == 1 }
            first.cancel()
            let second = Task { await model.run(trial) }
            tell.finish()
            await first.value
            await Self.wait { if case .running = model.phase { true } else { false } }
            #expect(cameras.opened == 1)
            second.cancel()
            await second.value
            #expect(cameras.open == 0)
            #expect(cameras.most == 1)
            #expect(model.camera == nil)
        }
    }

    @Test("Runs that follow each other quickly never have two cameras at once")
    func turns() async throws {
        try await withFolder { folder in
            let trial = Trial(try ScreensTests.model(in: folder).0, compute: .cpu)
            let cameras = Cameras()
            let model = LiveModel(
                sources: ScreensTests.sources, isAllowed: { true }, open: { FakeCamera(cameras) })
            var last = Task { await model.run(trial) }
            for count in 1...5 {
                await Self.wait { cameras.opened == count }
                last.cancel()
                last = Task { await model.run(trial) }
            }
            await Self.wait { cameras.opened == 6 }
            last.cancel()
            await last.value
            #expect(cameras.open == 0)
            #expect(cameras.most == 1)
            #expect(cameras.opened == 6)
        }
    }

    @Test("Frames are classified, and an interruption shows until it ends")
    func frames() async throws {
        try await withFolder { folder in
            let trial = Trial(try ScreensTests.model(in: folder).0, compute: .cpu)
            let cameras = Cameras()
            let model = LiveModel(
                sources: ScreensTests.sources, isAllowed: { true }, open: { FakeCamera(cameras) })
            let run = Task { await model.run(trial) }
            await Self.wait { model.camera != nil }
            model.camera?.arrived.yield(try Self.frame())
            await Self.wait { model.answer != nil }
            guard case .classes(let predictions) = model.answer?.finding else { return #expect(Bool(false)) }
            #expect(predictions.count == 5)
            #expect(model.latency.median != nil)
            #expect(model.geometry?.placement == PicturePlacement(width: 64, height: 64))
            model.camera?.changed.yield(true)
            await Self.wait { if case .interrupted = model.phase { true } else { false } }
            model.camera?.changed.yield(false)
            await Self.wait { if case .running = model.phase { true } else { false } }
            // The session failed for good.
            await model.camera?.stop()
            await run.value
            guard case .failed = model.phase else { return #expect(Bool(false)) }
            #expect(cameras.open == 0)
        }
    }

    @Test("A camera that fails to start is closed, and a denied one never opened")
    func broken() async throws {
        try await withFolder { folder in
            let trial = Trial(try ScreensTests.model(in: folder).0, compute: .cpu)
            let cameras = Cameras()
            let broken = LiveModel(
                sources: ScreensTests.sources, isAllowed: { true }, open: { FakeCamera(cameras, isBroken: true) })
            await broken.run(trial)
            guard case .failed = broken.phase else { return #expect(Bool(false)) }
            #expect(cameras.open == 0)
            #expect(cameras.opened == 1)
            let denied = LiveModel(
                sources: ScreensTests.sources, isAllowed: { false }, open: { FakeCamera(cameras) })
            await denied.run(trial)
            guard case .denied = denied.phase else { return #expect(Bool(false)) }
            #expect(cameras.opened == 1)
        }
    }
}
