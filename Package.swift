// swift-tools-version: 6.0
import PackageDescription

let kit = "ios_demo/SHViTKit/Sources"

let package = Package(
    name: "shvit-mobile",
    platforms: [.iOS(.v17), .macOS(.v14)],
    products: [
        .library(name: "SHViTKit", targets: ["SHViTKit"]),
        .library(name: "SHViTKitCoreML", targets: ["SHViTKitCoreML"]),
        .library(name: "SHViTDemoCore", targets: ["SHViTDemoCore"]),
    ],
    targets: [
        .target(name: "SHViTKit", path: "\(kit)/SHViTKit"),
        .target(name: "SHViTKitCoreML", dependencies: ["SHViTKit"], path: "\(kit)/SHViTKitCoreML"),
        // The demo app's logic; your own app does not need it.
        .target(name: "SHViTDemoCore", dependencies: ["SHViTKit"], path: "\(kit)/SHViTDemoCore"),
        .testTarget(
            name: "SHViTKitTests", dependencies: ["SHViTKit", "SHViTDemoCore"],
            path: "ios_demo/SHViTKit/Tests/SHViTKitTests"),
    ],
    swiftLanguageModes: [.v6],
    cxxLanguageStandard: .cxx17
)

// ExecuTorch publishes its Swift package as branches only, such as swiftpm-1.4.1, and SwiftPM refuses a version of a
// package that depends on a branch. So these are the same XCFrameworks, by version, with the checksums of that branch.
// They only link on Apple's systems. The version equals the exporter's, and `shvit-mobile embed` reads it here.
#if os(macOS)
    func framework(_ name: String, checksum: String) -> Target {
        .binaryTarget(
            name: name, url: "https://ossci-ios.s3.amazonaws.com/executorch/\(name)-1.4.1.zip", checksum: checksum)
    }

    package.products += [
        .library(name: "SHViTKitExecuTorch", targets: ["SHViTKitExecuTorch"])
    ]
    package.targets += [
        .target(
            name: "SHViTKitExecuTorch",
            dependencies: [
                "SHViTKit", "SHViTKitCoreML", "SHViTThreadPool", "executorch", "backend_xnnpack", "backend_coreml",
            ],
            path: "\(kit)/SHViTKitExecuTorch",
            // What ExecuTorch's Core ML backend needs.
            linkerSettings: [.linkedFramework("Accelerate"), .linkedFramework("CoreML"), .linkedLibrary("sqlite3")]),
        // Sets the number of ExecuTorch's threads, for which its Swift API has no option.
        .target(
            name: "SHViTThreadPool", dependencies: ["threadpool"], path: "\(kit)/SHViTThreadPool",
            linkerSettings: [.linkedLibrary("c++")]),
        framework("executorch", checksum: "8417045ee1761a410098d7b54a1ac0e3c227ccbdcca79bf7dfa26c0cf55f1f3d"),
        framework("backend_xnnpack", checksum: "14ffb372e29c09ef48ce6de4d02da315c237517438c07c98fa61fb89cbc4c8a6"),
        framework("backend_coreml", checksum: "9ff34810bee54047b02dabde3c98099ebe41fa49ea35b408adb62ac06415a5ea"),
        framework("threadpool", checksum: "d6c700c5c2307c8a8ed4416c0f8fab6d5123d6b7c06ba77fdb4265aa33c19625"),
    ]
#endif
