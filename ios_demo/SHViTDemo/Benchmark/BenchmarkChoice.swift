import SHViTDemoCore
import SHViTKit
import SwiftUI

/// What is to be measured, and for how long.
struct BenchmarkChoice: View {
    @Bindable var model: BenchmarkModel
    let models: [EmbeddedModel]

    var body: some View {
        Section("Models") {
            ForEach(models) { Toggle($0.id, isOn: $model.chosen[holds: $0.id]) }
        }
        Section("Core ML runs on") {
            ForEach(DeviceReport.Compute.allCases, id: \.self) { compute in
                Toggle(Wording.compute(compute), isOn: $model.computes[holds: compute])
            }
        }
        Section {
            Picker("Each ends after", selection: $model.mode) {
                Text("Inferences").tag(BenchmarkModel.Mode.iterations)
                Text("Seconds").tag(BenchmarkModel.Mode.sustained)
            }
            switch model.mode {
            case .iterations:
                Stepper("\(model.iterations) inferences", value: $model.iterations, in: 50...2000, step: 50)
            case .sustained:
                Stepper("\(model.seconds) seconds", value: $model.seconds, in: 20...600, step: 20)
            }
        } header: {
            Text("For how long")
        } footer: {
            Text("Minutes show how heat slows a phone; the median is then told for every ten seconds.")
        }
    }
}
