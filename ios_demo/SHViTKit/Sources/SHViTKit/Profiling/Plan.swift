extension Profiler {
    /// The length of a contestant's turn in a round.
    public enum Turn: Equatable, Sendable {
        /// A number of inferences.
        case iterations(Int)
        /// A duration in seconds. Every inference that begins within it counts; there is at least one.
        case seconds(Double)
    }

    /// The settings of a benchmark.
    ///
    /// Rounds interleave the models, so that throttling slows all of them, and each round captures one state of the
    /// phone. After the rounds, each model has its sustained run, if there is one.
    public struct Plan: Equatable, Sendable {
        /// Warm-up inferences at the start of each turn.
        public var warmUp: Int
        /// The measured inferences of each turn.
        public var turn: Turn
        /// The number of rounds. With fewer than 7, `shvit-mobile devices` cannot compute the interval of a slowdown.
        public var rounds: Int
        /// The length of each model's sustained run after the rounds, in seconds; 0 for none.
        public var sustained: Double
        /// The length of a sustained run's windows, in seconds.
        public var window: Double

        /// - Throws: `SHViTError` if there would be nothing to measure.
        public init(
            warmUp: Int = 5, turn: Turn = .iterations(20), rounds: Int = 12, sustained: Double = 0, window: Double = 10
        ) throws(SHViTError) {
            let isPositive =
                switch turn {
                case .iterations(let count): count > 0
                case .seconds(let seconds): seconds > 0 && seconds.isFinite
                }
            guard warmUp >= 0, isPositive, rounds > 0, sustained >= 0, sustained.isFinite, window > 0 else {
                throw SHViTError.invalidSettings(
                    "The plan measures nothing: \(rounds) rounds of \(turn), \(warmUp) warm-up inferences, a sustained "
                        + "run of \(sustained) s, windows of \(window) s.",
                    why: "All values must be above 0, except warm-up and sustained run, which may be 0.")
            }
            self.warmUp = warmUp
            self.turn = turn
            self.rounds = rounds
            self.sustained = sustained
            self.window = window
        }

        /// The number of turns and sustained runs of a model.
        var steps: Int { rounds + (sustained > 0 ? 1 : 0) }
    }
}
