/// This package's version, which is that of `shvit-mobile` beside it.
public enum SHViTKitVersion {
    /// As MAJOR.MINOR.PATCH.
    public static let text = "0.1.0"
}
