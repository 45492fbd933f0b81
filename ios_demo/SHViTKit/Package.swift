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
        // What the demo app decides; an app of one's own does without it.
        .target(name: "SHViTDemoCore", dependencies: ["SHViTKit"]),
        .testTarget(name: "SHViTKitTests", dependencies: ["SHViTKit", "SHViTDemoCore"]),
    ],
    swiftLanguageModes: [.v6]
)

// ExecuTorch comes as XCFrameworks, which only Apple's systems link; elsewhere the package is its core alone. The version
// is that of the exporter, and `shvit-mobile embed` reads it here.
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
