import Foundation

#if canImport(CryptoKit)
    import CryptoKit

    /// An incremental SHA-256.
    struct SHA256Digest {
        private var hash = SHA256()

        mutating func update(_ data: Data) {
            hash.update(data: data)
        }

        /// Returns 64 hexadecimal digits.
        func hexadecimal() -> String {
            SHViTKit.hexadecimal(hash.finalize())
        }
    }
#else
    /// An incremental SHA-256 after FIPS 180-4, for systems without CryptoKit.
    struct SHA256Digest {
        private var state: [UInt32] = [
            0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19,
        ]
        private var rest: [UInt8] = []
        private var length: UInt64 = 0
        private var schedule = [UInt32](repeating: 0, count: 64)

        mutating func update(_ data: Data) {
            length += UInt64(data.count)
            rest += data
            processBlocks()
        }

        /// Returns 64 hexadecimal digits.
        func hexadecimal() -> String {
            var last = self
            let padding = (119 - rest.count) % 64 + 1
            last.rest += [0x80] + [UInt8](repeating: 0, count: padding - 1)
            last.rest += (0..<8).map { UInt8(truncatingIfNeeded: (length * 8) >> (56 - 8 * $0)) }
            last.processBlocks()
            return SHViTKit.hexadecimal(
                last.state.flatMap { word in (0..<4).map { UInt8(word >> (24 - 8 * $0) & 0xff) } })
        }

        private mutating func processBlocks() {
            let whole = rest.count / 64 * 64
            let blocks = Array(rest[..<whole])
            blocks.withUnsafeBufferPointer { bytes in
                for start in stride(from: 0, to: whole, by: 64) {
                    process(UnsafeBufferPointer(rebasing: bytes[start..<start + 64]))
                }
            }
            rest.removeFirst(whole)
        }

        private mutating func process(_ block: UnsafeBufferPointer<UInt8>) {
            for i in 0..<16 {
                schedule[i] = (0..<4).reduce(UInt32(0)) { $0 << 8 | UInt32(block[4 * i + $1]) }
            }
            for i in 16..<64 {
                let (early, late) = (schedule[i - 15], schedule[i - 2])
                let first = Self.rotateRight(early, 7) ^ Self.rotateRight(early, 18) ^ early >> 3
                let second = Self.rotateRight(late, 17) ^ Self.rotateRight(late, 19) ^ late >> 10
                schedule[i] = schedule[i - 16] &+ first &+ schedule[i - 7] &+ second
            }
            var (a, b, c, d) = (state[0], state[1], state[2], state[3])
            var (e, f, g, h) = (state[4], state[5], state[6], state[7])
            for i in 0..<64 {
                let choice = e & f ^ ~e & g
                let majority = a & b ^ a & c ^ b & c
                let low = Self.rotateRight(e, 6) ^ Self.rotateRight(e, 11) ^ Self.rotateRight(e, 25)
                let high = Self.rotateRight(a, 2) ^ Self.rotateRight(a, 13) ^ Self.rotateRight(a, 22)
                let one = h &+ low &+ choice &+ Self.constants[i] &+ schedule[i]
                (h, g, f, e, d, c, b, a) = (g, f, e, d &+ one, c, b, a, one &+ high &+ majority)
            }
            for (i, word) in [a, b, c, d, e, f, g, h].enumerated() {
                state[i] &+= word
            }
        }

        private static func rotateRight(_ word: UInt32, _ bits: UInt32) -> UInt32 {
            word >> bits | word << (32 - bits)
        }

        /// The first 32 bits of the fractions of the cube roots of the first 64 primes.
        private static let constants: [UInt32] = [
            0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5, 0x3956_c25b, 0x59f1_11f1, 0x923f_82a4, 0xab1c_5ed5,
            0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3, 0x72be_5d74, 0x80de_b1fe, 0x9bdc_06a7, 0xc19b_f174,
            0xe49b_69c1, 0xefbe_4786, 0x0fc1_9dc6, 0x240c_a1cc, 0x2de9_2c6f, 0x4a74_84aa, 0x5cb0_a9dc, 0x76f9_88da,
            0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7, 0xc6e0_0bf3, 0xd5a7_9147, 0x06ca_6351, 0x1429_2967,
            0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc, 0x5338_0d13, 0x650a_7354, 0x766a_0abb, 0x81c2_c92e, 0x9272_2c85,
            0xa2bf_e8a1, 0xa81a_664b, 0xc24b_8b70, 0xc76c_51a3, 0xd192_e819, 0xd699_0624, 0xf40e_3585, 0x106a_a070,
            0x19a4_c116, 0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5, 0x391c_0cb3, 0x4ed8_aa4a, 0x5b9c_ca4f, 0x682e_6ff3,
            0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208, 0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7, 0xc671_78f2,
        ]
    }
#endif

private func hexadecimal(_ bytes: some Sequence<UInt8>) -> String {
    bytes.map { byte in
        let digits = String(byte, radix: 16)
        return digits.count == 1 ? "0\(digits)" : digits
    }.joined()
}
