/// Decides whether a phone is in a state in which a benchmark measures the models, and not the state.
struct StartGate {
    let plan: Profiler.Plan
    let probe: any DeviceProbe
    let sleep: Profiler.Sleep

    /// Waits for the phone to cool, and returns its conditions then and the seconds that it waited.
    ///
    /// - Parameter waiting: Called before each wait.
    /// - Throws: `SHViTError.lowPowerMode`, `SHViTError.phoneTooWarm`, `CancellationError`. A phone that does not report
    ///   its state is let through.
    func enter(waiting: () -> Void) async throws -> (reading: DeviceReading, waited: Double) {
        var waited = 0
        while true {
            try Task.checkCancellation()
            let reading = await probe.reading()
            if waited == 0 { try refuse(reading, "Low-power mode is on.") }
            let state = reading.thermal ?? .nominal
            if state == .nominal || plan.allowsHeat { return (reading, Double(waited)) }
            if Double(waited) >= plan.cooling {
                throw SHViTError.phoneTooWarm(
                    "The phone's thermal state is \(state).",
                    why: "A warm phone throttles. It did not cool within \(waited) s.",
                    next: "Let it cool, without a case and charger, or set -allow-heat true.")
            }
            waiting()
            try await sleep(.seconds(1))
            waited += 1
        }
    }

    /// Throws if low-power mode was switched on since, and is not allowed.
    func leave() async throws(SHViTError) {
        try refuse(await probe.reading(), "Low-power mode was switched on during the measurement.")
    }

    private func refuse(_ reading: DeviceReading, _ what: String) throws(SHViTError) {
        guard reading.lowPower == true, !plan.allowsLowPower else { return }
        throw SHViTError.lowPowerMode(
            what, why: "It slows the processor down, so that latencies mean little.",
            next: "Switch it off, or set -allow-low-power true.")
    }
}
