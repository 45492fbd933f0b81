#if canImport(UIKit)
    import UIKit

    /// Reads the conditions of the phone that the app runs on.
    public struct PhoneConditions: DeviceProbe {
        /// Creates a probe of this phone.
        public init() {}

        /// Returns the phone's current conditions. Reads the battery on the main actor.
        public func reading() async -> DeviceReading {
            let process = ProcessInfo.processInfo
            var reading = DeviceReading(
                thermal: DeviceReport.ThermalState(process.thermalState), lowPower: process.isLowPowerModeEnabled)
            (reading.battery, reading.charging) = await Self.battery()
            return reading
        }

        /// Returns the memory that iOS counts against the app's limit.
        public func footprint() -> Int? {
            memoryFootprint()
        }

        /// Returns the charge, and whether the phone is plugged in; nil if unknown, as in a simulator.
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
        /// Returns the phone that the app runs on.
        @MainActor public static var current: DeviceReport.Device {
            let (process, device) = (ProcessInfo.processInfo, UIDevice.current)
            // A simulator returns the computer's model itself.
            let model = process.environment["SIMULATOR_MODEL_IDENTIFIER"] ?? hardwareModel() ?? device.model
            return DeviceReport.Device(
                model: model, system: "\(device.systemName) \(device.systemVersion)",
                cores: process.activeProcessorCount, memoryBytes: Int(clamping: process.physicalMemory),
                name: phoneName(of: model))
        }
    }

    extension DeviceReport.ThermalState {
        /// Converts the system's thermal state; nil for a state that did not exist when this was written.
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
