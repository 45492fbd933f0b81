@_spi(Checks) import AVFoundation
@_spi(Checks) import CoreVideo
import Foundation
import SHViTDemoCore

@testable import SHViTKit

@MainActor let cameraChecks: [Check] = [
    (
        "permission: the person is asked once, and only if nobody has been asked",
        {
            for (authorization, answer, isAllowed, questions) in [
                (AVAuthorizationStatus.authorized, false, true, 0), (.denied, true, false, 0),
                (.restricted, true, false, 0), (.notDetermined, true, true, 1), (.notDetermined, false, false, 1),
            ] {
                CameraSetup.current = CameraSetup()
                (CameraSetup.current.authorization, CameraSetup.current.answer) = (authorization, answer)
                let result = await Camera.isAllowed()
                expect(
                    result == isAllowed && CameraSetup.current.questions == questions,
                    "With the permission \(authorization), the camera is allowed: \(result); "
                        + "the person was asked \(CameraSetup.current.questions) times.")
            }
            CameraSetup.current = CameraSetup()
        }
    ),
    (
        "frames are upright, whatever the camera does to them",
        {
            for angles in [[0, 90, 180, 270], [90, 0], [90], [180], [270]] {
                CameraSetup.current.angles = angles
                try await withCamera { camera, session in
                    let frame = await frames(of: camera, delivering: [scene]).first
                    expect(frame == preprocessor.pixels(of: scene), "A frame is not upright, or has other pixels.")
                    expect(
                        !angles.contains(0) || session.angle == 0,
                        "The camera turns frames by \(session.angle ?? -1) degrees, which costs time.")
                }
            }
            CameraSetup.current.angles = CameraSetup().angles
        }
    ),
    (
        "a slow reader gets the newest frame, and no other is kept",
        {
            let before = CVPixelBuffer.alive
            try await withCamera { camera, session in
                let scenes = (0..<6).map { RGBImage(32, 32, [UInt8](repeating: UInt8($0 * 40), count: 32 * 32 * 3)) }
                await deliver(scenes, to: session)
                expect(
                    CVPixelBuffer.alive - before <= 1, "\(CVPixelBuffer.alive - before) unread frames are kept.")
                let frame = await frames(of: camera, delivering: []).first
                expect(frame?.bytes[0] == 200, "A slow reader does not get the newest frame.")
            }
            await wait("Frames are kept after the camera was stopped.") { CVPixelBuffer.alive == before }
        }
    ),
    (
        "the camera runs while it is wanted, and is started and stopped once",
        {
            let camera = Camera()
            nonisolated(unsafe) let session = camera.session
            expect(session.starts == 0 && Observers.count == 0, "A camera that is not wanted does something.")
            try await camera.start()
            expect(session.isRunning && session.starts == 1, "The camera does not run after the start.")
            try await camera.start()
            expect(session.starts == 1, "A second start starts the camera again.")
            await camera.stop()
            await camera.stop()
            expect(!session.isRunning, "The camera was not stopped.")
            expect(session.stops == 1, "The camera was stopped \(session.stops) times.")
            expect(AVCaptureSession.runningCount == 0, "\(AVCaptureSession.runningCount) sessions were left running.")
            expect(Observers.count == 0, "\(Observers.count) observers were not removed.")
            for name in events { session.post(name) }
            try? await camera.start()
            await settle()
            expect(session.starts == 1, "A camera that was stopped was started again.")
            await ends(camera)
        }
    ),
    (
        "the system takes the camera away and gives it back",
        {
            try await withCamera { camera, session in
                let changes = changes(of: camera)
                session.post(AVCaptureSession.wasInterruptedNotification)
                await wait("An interruption is not told.") { changes.values == [true] }
                await settle()
                expect(!session.isRunning, "The camera runs during an interruption.")
                session.post(AVCaptureSession.interruptionEndedNotification)
                await wait("The camera does not run after an interruption.") { session.isRunning }
                await wait("The end of an interruption is not told.") { changes.values == [true, false] }
                let frame = await frames(of: camera, delivering: [scene]).first
                expect(frame == preprocessor.pixels(of: scene), "A frame after an interruption has other pixels.")
            }
            // It is stopped while the system has it.
            try await withCamera { _, session in session.post(AVCaptureSession.wasInterruptedNotification) }
        }
    ),
    (
        "a session that fails is started again, but not forever",
        {
            let camera = Camera()
            nonisolated(unsafe) let session = camera.session
            try await camera.start()
            session.post(AVCaptureSession.runtimeErrorNotification)
            await wait("The camera does not run after an error.") { session.isRunning }
            await deliver([scene], to: session)
            session.post(AVCaptureSession.runtimeErrorNotification)
            await wait("The camera does not run after a second error, with a frame between them.") {
                session.isRunning
            }
            session.post(AVCaptureSession.runtimeErrorNotification)
            await settle()
            expect(!session.isRunning && session.starts == 3, "A session that fails again and again is started again.")
            expect(Observers.count == 0, "\(Observers.count) observers of a failed session were not removed.")
            await ends(camera)
        }
    ),
    (
        "another camera's interruption changes nothing",
        {
            try await withCamera { camera, session in
                AVCaptureSession().post(AVCaptureSession.wasInterruptedNotification)
                await settle()
                expect(session.isRunning, "The camera reacts to another session.")
                let changes = changes(of: camera)
                await settle()
                expect(changes.values.isEmpty, "Another session's interruption is told.")
            }
        }
    ),
    (
        "a phone without a camera, and a camera that is taken",
        {
            for change in [
                { (setup: inout CameraSetup) in setup.exists = false },
                { (setup: inout CameraSetup) in setup.isFree = false },
            ] {
                change(&CameraSetup.current)
                let camera = Camera()
                nonisolated(unsafe) let session = camera.session
                do {
                    try await camera.start()
                    complain("A camera that cannot be opened is started.")
                } catch {
                    expect(error is SHViTError, "The error is not the kit's: \(error)")
                }
                expect(session.starts == 0, "A session without a camera was started.")
                expect(Observers.count == 0, "\(Observers.count) observers of a refused camera were not removed.")
                await camera.stop()
                await ends(camera)
                CameraSetup.current = CameraSetup()
            }
        }
    ),
    (
        "a camera that was used is freed",
        {
            weak var used: Camera?
            try await withCamera { camera, _ in
                used = camera
                _ = await frames(of: camera, delivering: [scene])
            }
            await wait("A camera that was stopped stays in memory.") { used == nil }
        }
    ),
]

private let events = [
    AVCaptureSession.wasInterruptedNotification, AVCaptureSession.interruptionEndedNotification,
    AVCaptureSession.runtimeErrorNotification,
]

/// Calls `body` with a started camera, and stops it.
@MainActor
func withCamera(_ body: @MainActor (Camera, AVCaptureSession) async throws -> Void) async throws {
    let camera = Camera()
    nonisolated(unsafe) let session = camera.session
    try await camera.start()
    try await body(camera, session)
    await camera.stop()
    expect(!session.isRunning, "The camera was not stopped.")
    expect(session.stops == 1, "The camera was stopped \(session.stops) times.")
    expect(Observers.count == 0, "\(Observers.count) observers were not removed.")
}

/// Delivers frames from another thread, as a camera does.
@MainActor
func deliver(_ pictures: [RGBImage], to session: AVCaptureSession) async {
    nonisolated(unsafe) let session = session
    await withCheckedContinuation { done in
        DispatchQueue.global().async {
            for picture in pictures { session.deliver(filmed(picture)) }
            done.resume()
        }
    }
}

/// Delivers frames and returns the pixels of those that are read, at most one a frame; after a second, none.
@MainActor
func frames(of camera: Camera, delivering pictures: [RGBImage]) async -> [RGBImage] {
    await deliver(pictures, to: camera.session)
    let reading = Task { () -> [RGBImage] in
        for await frame in camera.frames { return [try preprocessor.pixels(of: frame)] }
        return []
    }
    let limit = Task {
        try await Task.sleep(for: .seconds(1))
        reading.cancel()
    }
    defer { limit.cancel() }
    do { return try await reading.value } catch { complain("\(error)") }
    return []
}

func filmed(_ picture: RGBImage) -> FilmedScene {
    FilmedScene(height: picture.height, width: picture.width, colors: colors(of: picture))
}

/// What a stream of interruptions has told.
@MainActor
final class Changes {
    var values: [Bool] = []
}

@MainActor
func changes(of camera: Camera) -> Changes {
    let changes = Changes()
    let stream = camera.interruptions
    Task { @MainActor in
        for await change in stream { changes.values.append(change) }
    }
    return changes
}

/// Gives other threads the time to do what they have begun.
@MainActor
func settle() async {
    try? await Task.sleep(for: .milliseconds(30))
}

/// Complains unless both streams of a camera end.
@MainActor
func ends(_ camera: Camera) async {
    let reading = Task {
        for await _ in camera.frames {}
        for await _ in camera.interruptions {}
    }
    let limit = Task {
        try await Task.sleep(for: .seconds(1))
        complain("The frames of a stopped camera do not end.")
        reading.cancel()
    }
    await reading.value
    limit.cancel()
}
