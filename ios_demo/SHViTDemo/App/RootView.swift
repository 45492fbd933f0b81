import SHViTDemoCore
import SwiftUI

/// The screens, side by side.
struct RootView: View {
    @State private var catalogue = Catalogue(store: Device.store)

    var body: some View {
        TabView {
            CameraScreen()
                .tabItem { Label("Camera", systemImage: "camera") }
            PhotoScreen()
                .tabItem { Label("Photo", systemImage: "photo") }
            BenchmarkScreen(models: catalogue.models)
                .tabItem { Label("Benchmark", systemImage: "gauge.with.needle") }
            GoldenScreen()
                .tabItem { Label("Goldens", systemImage: "checkmark.seal") }
            CatalogueScreen()
                .tabItem { Label("Models", systemImage: "shippingbox") }
        }
        .environment(catalogue)
    }
}
