import SHViTDemoCore
import SHViTKit
import SwiftUI

/// Selects the models, processors and length of a benchmark.
struct BenchmarkChoice: View {
    @Bindable var model: BenchmarkModel
    let models: [EmbeddedModel]

    var body: some View {
        Section("Models") {
            ForEach(models) { Toggle($0.id, isOn: $model.chosen[holds: $0.id]) }
        }
        Section("Core ML compute units") {
            ForEach(DeviceReport.Compute.allCases, id: \.self) { compute in
                Toggle(Wording.compute(compute), isOn: $model.computes[holds: compute])
            }
        }
        Section {
            Stepper("\(model.rounds) rounds", value: $model.rounds, in: 1...40)
            Stepper("\(model.turn.formatted()) seconds per turn", value: $model.turn, in: 0.5...10, step: 0.5)
            Toggle("Sustained run", isOn: $model.isSustained)
            if model.isSustained {
                Stepper("\(model.seconds) seconds", value: $model.seconds, in: 20...600, step: 20)
            }
        } header: {
            Text("Duration")
        } footer: {
            Text(
                """
                Rounds interleave the models, so that throttling affects all of them. Use at least 7 rounds to compare \
                reports. A sustained run shows throttling: it reports the median of each 10 seconds.
                """)
        }
    }
}
