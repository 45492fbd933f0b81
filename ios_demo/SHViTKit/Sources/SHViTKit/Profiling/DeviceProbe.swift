/// What a phone tells of itself while it measures; a test has its own.
public protocol DeviceProbe: Sendable {
    /// How it is at this moment.
    func reading() async -> DeviceReading
    /// Bytes of memory that the app holds: `phys_footprint` on Apple's systems; nil where it cannot be told.
    func footprint() -> Int?
}

/// How a phone is at a moment; nil where the system does not tell.
public struct DeviceReading: Equatable, Sendable {
    /// How hot it says it is.
    public var thermal: DeviceReport.ThermalState?
    /// Whether a power-saving mode is on.
    public var lowPower: Bool?
    /// The charge, 0 to 1.
    public var battery: Double?
    /// Whether it is plugged in.
    public var charging: Bool?

    /// A reading of which nothing has to be known.
    public init(
        thermal: DeviceReport.ThermalState? = nil, lowPower: Bool? = nil, battery: Double? = nil, charging: Bool? = nil
    ) {
        self.thermal = thermal
        self.lowPower = lowPower
        self.battery = battery
        self.charging = charging
    }
}
