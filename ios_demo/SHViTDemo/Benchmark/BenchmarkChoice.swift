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
            Stepper("\(model.rounds) rounds", value: $model.rounds, in: 1...40)
            Stepper("\(model.iterations) inferences in each", value: $model.iterations, in: 5...200, step: 5)
            Toggle("Then without a pause", isOn: $model.isSustained)
            if model.isSustained {
                Stepper("\(model.seconds) seconds", value: $model.seconds, in: 20...600, step: 20)
            }
        } header: {
            Text("For how long")
        } footer: {
            Text(
                """
                Models take turns. From 7 rounds on, a later run can be told from this one. Minutes without a pause show \
                how heat slows a phone: the median is then told for every ten seconds.
                """)
        }
    }
}
