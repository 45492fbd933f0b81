extension Profiler {
    /// The length of a warm-up, or of a contestant's turn in a round.
    public enum Turn: Equatable, Sendable {
        /// A number of inferences.
        case iterations(Int)
        /// A duration in seconds. Every inference that begins within it counts.
        case seconds(Double)

        /// The number of inferences, or of seconds.
        fileprivate var length: Double {
            switch self {
            case .iterations(let count): Double(count)
            case .seconds(let seconds): seconds
            }
        }

        /// The seconds; nil for a number of inferences.
        var duration: Double? {
            if case .seconds(let seconds) = self { seconds } else { nil }
        }
    }

    /// The settings of a benchmark.
    ///
    /// Rounds interleave the models, so that throttling slows all of them, and each round captures one state of the
    /// phone. A turn consists of its warm-up, of inferences that follow each other, and of whole frames. After the
    /// rounds, each model has its sustained run, if there is one.
    ///
    /// Turns last a time and not a number of inferences: 20 inferences of a fast model end while the processor's clock
    /// still rises.
    public struct Plan: Equatable, Sendable {
        /// The warm-up at the start of each turn.
        public var warmUp: Turn
        /// The measured inferences of each turn.
        public var turn: Turn
        /// The least number of inferences of a turn that is a duration.
        public var leastIterations: Int
        /// The number of rounds. With fewer than 7, `shvit-mobile devices` cannot compute the interval of a slowdown.
        public var rounds: Int
        /// The duration of the whole frames after each turn, in seconds; there are at least three.
        public var frames: Double
        /// The length of each model's sustained run after the rounds, in seconds; 0 for none.
        public var sustained: Double
        /// The length of a sustained run's windows, in seconds.
        public var window: Double
        /// How long the run waits for the phone to cool before it starts, in seconds.
        public var cooling: Double
        /// Whether to measure although low-power mode is on.
        public var allowsLowPower: Bool
        /// Whether to start although the phone is warm; it does not wait then.
        public var allowsHeat: Bool

        /// - Throws: `SHViTError` if there would be nothing to measure.
        public init(
            warmUp: Turn = .seconds(0.5), turn: Turn = .seconds(1), leastIterations: Int = 10, rounds: Int = 12,
            frames: Double = 0.25, sustained: Double = 0, window: Double = 10, cooling: Double = 120,
            allowsLowPower: Bool = false, allowsHeat: Bool = false
        ) throws(SHViTError) {
            func isPositive(_ value: Double) -> Bool { value > 0 && value.isFinite }
            func isLength(_ value: Double) -> Bool { value >= 0 && value.isFinite }
            guard isLength(warmUp.length), isPositive(turn.length), leastIterations > 0, rounds > 0, isPositive(frames),
                isLength(sustained), window > 0, isLength(cooling)
            else {
                throw SHViTError.invalidSettings(
                    "The plan measures nothing: \(rounds) rounds of \(turn), a warm-up of \(warmUp), frames for "
                        + "\(frames) s, a sustained run of \(sustained) s, windows of \(window) s.",
                    why: "All values must be above 0, except warm-up and sustained run, which may be 0.")
            }
            self.warmUp = warmUp
            self.turn = turn
            self.leastIterations = leastIterations
            self.rounds = rounds
            self.frames = frames
            self.sustained = sustained
            self.window = window
            self.cooling = cooling
            self.allowsLowPower = allowsLowPower
            self.allowsHeat = allowsHeat
        }

        /// The number of turns and sustained runs of a model.
        var steps: Int { rounds + (sustained > 0 ? 1 : 0) }

        /// What the plan was told to accept; nil for nothing.
        var overrides: [DeviceReport.Override]? {
            let all = (allowsLowPower ? [DeviceReport.Override.lowPower] : []) + (allowsHeat ? [.heat] : [])
            return all.isEmpty ? nil : all
        }
    }
}
