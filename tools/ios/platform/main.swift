// Runs the code for Apple's cameras and pictures against the stubs with bodies. Each check prints its name, and each
// misuse or wrong result a complaint.
@_spi(Checks) import CoreFoundation
import Foundation

/// Complains unless something is true.
func expect(_ isTrue: Bool, _ text: @autoclosure () -> String) {
    if !isTrue { complain(text()) }
}

/// Waits until another thread makes something true, and complains if that takes too long.
@MainActor
func wait(_ text: String, until isTrue: @MainActor () -> Bool) async {
    for _ in 0..<1000 {
        if isTrue() { return }
        try? await Task.sleep(for: .milliseconds(2))
    }
    complain(text)
}

/// Ends the program with a complaint if it touches memory that it must not touch.
func explainCrashes() {
    for number in [SIGSEGV, SIGBUS] {
        signal(number) { _ in
            let text: StaticString =
                "complaint: Memory was touched that is not accessible, such as that of a buffer that is not locked.\n"
            write(STDOUT_FILENO, text.utf8Start, text.utf8CodeUnitCount)
            _exit(3)
        }
    }
}

explainCrashes()
// Compiled models go where they do not stay.
setenv("XDG_CACHE_HOME", FileManager.default.temporaryDirectory.path, 1)
for (name, check) in frameChecks + decodingChecks + coreMLChecks + cameraChecks + screenChecks {
    FileHandle.standardOutput.write(Data("check: \(name)\n".utf8))
    do { try await check() } catch { complain("\(error)") }
}
FileHandle.standardOutput.write(Data("finished\n".utf8))
exit(0)
