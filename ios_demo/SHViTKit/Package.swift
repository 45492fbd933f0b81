// swift-tools-version: 6.0
import PackageDescription

let package = Package(
    name: "SHViTKit",
    platforms: [.iOS(.v17), .macOS(.v14)],
    products: [
        .library(name: "SHViTKit", targets: ["SHViTKit"]),
        .library(name: "SHViTDemoCore", targets: ["SHViTDemoCore"]),
    ],
    targets: [
        .target(name: "SHViTKit"),
        // The demo app's logic; your own app does not need it.
        .target(name: "SHViTDemoCore", dependencies: ["SHViTKit"]),
        .testTarget(name: "SHViTKitTests", dependencies: ["SHViTKit", "SHViTDemoCore"]),
    ],
    swiftLanguageModes: [.v6]
)

// ExecuTorch's XCFrameworks only link on Apple's systems; elsewhere the package consists of its core. The version equals
// the exporter's, and `shvit-mobile embed` reads it here.
#if os(macOS)
    package.dependencies += [
        .package(url: "https://github.com/pytorch/executorch.git", branch: "swiftpm-1.4.1")
    ]
    package.products += [
        .library(name: "SHViTKitExecuTorch", targets: ["SHViTKitExecuTorch"])
    ]
    package.targets += [
        .target(
            name: "SHViTKitExecuTorch",
            dependencies: [
                "SHViTKit",
                .product(name: "executorch", package: "executorch"),
                .product(name: "backend_xnnpack", package: "executorch"),
            ])
    ]
#endif
