// swift-tools-version: 6.0
import PackageDescription

let package = Package(
    name: "SHViTKit",
    platforms: [.iOS(.v17), .macOS(.v14)],
    products: [
        .library(name: "SHViTKit", targets: ["SHViTKit"])
    ],
    targets: [
        .target(name: "SHViTKit"),
        .testTarget(name: "SHViTKitTests", dependencies: ["SHViTKit"]),
    ],
    swiftLanguageModes: [.v6]
)
