import Foundation

/// The SHA-256 of files and of packages that are folders, computed as in Python. It identifies an artifact.
public enum Fingerprint {
    private static let chunk = 1 << 20

    /// Returns the SHA-256 of bytes.
    public static func sha256(of data: Data) -> String {
        var digest = SHA256Digest()
        digest.update(data)
        return digest.hexadecimal()
    }

    /// Returns the SHA-256 of a file, or of a folder: over its files' relative names, lengths and bytes, sorted by
    /// name.
    ///
    /// - Throws: `SHViTError` if the file or folder does not exist or cannot be read.
    public static func sha256(of url: URL) throws(SHViTError) -> String {
        var digest = SHA256Digest()
        do {
            guard try isFolder(url) else {
                try read(url, into: &digest)
                return digest.hexadecimal()
            }
            for name in try files(in: url) {
                let file = url.appending(path: name)
                digest.update(Data("\(name)\0\(try length(of: file))\0".utf8))
                try read(file, into: &digest)
            }
            return digest.hexadecimal()
        } catch {
            throw unreadable(url, error)
        }
    }

    /// Returns the size of a file, or of all files in a folder.
    ///
    /// - Throws: `SHViTError` if the file or folder does not exist or cannot be read.
    public static func sizeInBytes(of url: URL) throws(SHViTError) -> Int {
        do {
            guard try isFolder(url) else { return try length(of: url) }
            return try files(in: url).reduce(0) { try $0 + length(of: url.appending(path: $1)) }
        } catch {
            throw unreadable(url, error)
        }
    }

    private static func unreadable(_ url: URL, _ error: any Error) -> SHViTError {
        SHViTError.artifactChanged("\(url.lastPathComponent) cannot be read: \(error.localizedDescription)")
    }

    private static func isFolder(_ url: URL) throws -> Bool {
        try url.resolvingSymlinksInPath().resourceValues(forKeys: [.isDirectoryKey]).isDirectory ?? false
    }

    private static func length(of url: URL) throws -> Int {
        try url.resolvingSymlinksInPath().resourceValues(forKeys: [.fileSizeKey]).fileSize ?? 0
    }

    /// Returns the relative names of all files in the order of Python's paths: part by part, by code points.
    private static func files(in folder: URL) throws -> [String] {
        try FileManager.default.subpathsOfDirectory(atPath: folder.path)
            .filter { try !isFolder(folder.appending(path: $0)) }
            .sorted { one, other in
                one.split(separator: "/").lexicographicallyPrecedes(other.split(separator: "/")) {
                    $0.unicodeScalars.lexicographicallyPrecedes($1.unicodeScalars)
                }
            }
    }

    private static func read(_ url: URL, into digest: inout SHA256Digest) throws {
        let file = try FileHandle(forReadingFrom: url)
        defer { try? file.close() }
        while let data = try file.read(upToCount: chunk), !data.isEmpty {
            digest.update(data)
        }
    }
}
