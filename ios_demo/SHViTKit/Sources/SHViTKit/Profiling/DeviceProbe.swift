/// Reads a phone's conditions during a measurement. Tests implement their own.
public protocol DeviceProbe: Sendable {
    /// Returns the current conditions.
    func reading() async -> DeviceReading
    /// Returns the app's memory in bytes (`phys_footprint` on Apple's systems); nil if unknown.
    func footprint() -> Int?
}

/// A phone's conditions at a moment; a value is nil if unknown.
public struct DeviceReading: Equatable, Sendable {
    /// The thermal state.
    public var thermal: DeviceReport.ThermalState?
    /// Whether a power-saving mode is on.
    public var lowPower: Bool?
    /// The battery charge, from 0 to 1.
    public var battery: Double?
    /// Whether the phone is plugged in.
    public var charging: Bool?

    /// Creates a reading. All values are optional.
    public init(
        thermal: DeviceReport.ThermalState? = nil, lowPower: Bool? = nil, battery: Double? = nil, charging: Bool? = nil
    ) {
        self.thermal = thermal
        self.lowPower = lowPower
        self.battery = battery
        self.charging = charging
    }
}
