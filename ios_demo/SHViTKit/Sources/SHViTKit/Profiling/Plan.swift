extension Profiler {
    /// How long a turn is.
    public enum Turn: Equatable, Sendable {
        /// So many inferences.
        case iterations(Int)
        /// As many inferences as begin within so many seconds; at least one.
        case seconds(Double)
    }

    /// What is to be done.
    ///
    /// Models take turns, so that a phone that grows hot slows all of them, and a round tells what the phone was like once
    /// and not as often as there are inferences. Then each has its sustained run, if asked.
    public struct Plan: Equatable, Sendable {
        /// Inferences at the beginning of each turn that do not count.
        public var warmUp: Int
        /// The inferences that do.
        public var turn: Turn
        /// How often each model has its turn. From fewer than 7, `shvit-mobile devices` has no interval of a slowdown.
        public var rounds: Int
        /// How many seconds a model runs without a pause after the rounds; 0 for not at all.
        public var sustained: Double
        /// The stretches of a sustained run whose medians are told, in seconds.
        public var window: Double

        /// - Throws: `SHViTError` where nothing would be measured.
        public init(
            warmUp: Int = 5, turn: Turn = .iterations(20), rounds: Int = 12, sustained: Double = 0, window: Double = 10
        ) throws(SHViTError) {
            let isPositive =
                switch turn {
                case .iterations(let count): count > 0
                case .seconds(let seconds): seconds > 0 && seconds.isFinite
                }
            guard warmUp >= 0, isPositive, rounds > 0, sustained >= 0, sustained.isFinite, window > 0 else {
                throw SHViTError(
                    "Nothing can be measured in \(rounds) rounds of \(turn), \(warmUp) inferences to warm up, a sustained "
                        + "run of \(sustained) s and windows of \(window) s.",
                    why: "All of them are above 0; only the warm-up and the sustained run may be 0.")
            }
            self.warmUp = warmUp
            self.turn = turn
            self.rounds = rounds
            self.sustained = sustained
            self.window = window
        }

        /// Turns and sustained runs of one model.
        var steps: Int { rounds + (sustained > 0 ? 1 : 0) }
    }
}
