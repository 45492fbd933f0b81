import SHViTDemoCore
import SwiftUI

/// The app's screens in a tab bar.
struct RootView: View {
    @State private var catalog = Catalog(store: Device.store)

    var body: some View {
        TabView {
            CameraScreen()
                .tabItem { Label("Camera", systemImage: "camera") }
            PhotoScreen()
                .tabItem { Label("Photo", systemImage: "photo") }
            BenchmarkScreen(models: catalog.models)
                .tabItem { Label("Benchmark", systemImage: "gauge.with.needle") }
            GoldenScreen()
                .tabItem { Label("Golden check", systemImage: "checkmark.seal") }
            CatalogScreen()
                .tabItem { Label("Models", systemImage: "shippingbox") }
        }
        .environment(catalog)
    }
}
