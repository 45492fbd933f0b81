import Foundation
import SHViTDemoCore
import SwiftUI
import UIKit

/// The app's screens in a tab bar.
///
/// It follows the app's phase and warnings of low memory for screens that are not shown, which SwiftUI tells nothing.
struct RootView: View {
    @Environment(\.scenePhase) private var scenePhase
    @State private var catalog: Catalog
    @State private var photo = PhotoModel(decoder: Device.photoDecoder(for:), sources: Device.source(of:))
    @State private var benchmark: BenchmarkModel

    init() {
        let catalog = Catalog(store: Device.store)
        let benchmark = BenchmarkModel(
            models: catalog.models, benchmark: Device.benchmark, about: Device.about, documents: .documentsDirectory)
        _catalog = State(initialValue: catalog)
        _benchmark = State(initialValue: benchmark)
    }

    var body: some View {
        TabView {
            CameraScreen()
                .tabItem { Label("Camera", systemImage: "camera") }
            PhotoScreen(model: photo)
                .tabItem { Label("Photo", systemImage: "photo") }
            BenchmarkScreen(model: benchmark, models: catalog.models)
                .tabItem { Label("Benchmark", systemImage: "gauge.with.needle") }
            GoldenScreen()
                .tabItem { Label("Golden check", systemImage: "checkmark.seal") }
            CatalogScreen()
                .tabItem { Label("Models", systemImage: "shippingbox") }
        }
        .environment(catalog)
        .onChange(of: scenePhase) { _, phase in
            benchmark.follow(AppPhase(phase))
        }
        .task {
            let warnings = NotificationCenter.default.notifications(
                named: UIApplication.didReceiveMemoryWarningNotification)
            for await _ in warnings.map({ _ in () }) { photo.free() }
        }
    }
}
