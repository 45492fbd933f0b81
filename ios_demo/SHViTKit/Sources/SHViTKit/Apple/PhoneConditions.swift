#if canImport(UIKit)
    import UIKit

    /// What the phone that the app runs on tells of itself.
    public struct PhoneConditions: DeviceProbe {
        /// Of this phone.
        public init() {}

        /// How it is at this moment; asks the battery on the main actor.
        public func reading() async -> DeviceReading {
            let process = ProcessInfo.processInfo
            var reading = DeviceReading(
                thermal: DeviceReport.ThermalState(process.thermalState), lowPower: process.isLowPowerModeEnabled)
            (reading.battery, reading.charging) = await Self.battery()
            return reading
        }

        /// What iOS counts against the app's limit.
        public func footprint() -> Int? {
            memoryFootprint()
        }

        /// The charge, and whether the phone is plugged in; nil where it does not tell, as a simulator.
        @MainActor
        private static func battery() -> (level: Double?, isPlugged: Bool?) {
            let device = UIDevice.current
            device.isBatteryMonitoringEnabled = true
            let isPlugged: Bool? =
                switch device.batteryState {
                case .charging, .full: true
                case .unplugged: false
                case .unknown: nil
                @unknown default: nil
                }
            return (device.batteryLevel < 0 ? nil : Double(device.batteryLevel), isPlugged)
        }
    }

    extension DeviceReport.Device {
        /// The phone that the app runs on.
        @MainActor public static var current: DeviceReport.Device {
            let (process, device) = (ProcessInfo.processInfo, UIDevice.current)
            // A simulator tells the computer's model by itself.
            let model = process.environment["SIMULATOR_MODEL_IDENTIFIER"] ?? hardwareModel() ?? device.model
            return DeviceReport.Device(
                model: model, system: "\(device.systemName) \(device.systemVersion)",
                cores: process.activeProcessorCount, memoryBytes: Int(clamping: process.physicalMemory),
                name: phoneName(of: model))
        }
    }

    extension DeviceReport.ThermalState {
        /// As the system tells it; nil where it is one that we do not know.
        init?(_ state: ProcessInfo.ThermalState) {
            switch state {
            case .nominal: self = .nominal
            case .fair: self = .fair
            case .serious: self = .serious
            case .critical: self = .critical
            @unknown default: return nil
            }
        }
    }
#endif
