/// The version of this package, equal to that of `shvit-mobile`.
public enum SHViTKitVersion {
    /// The version, MAJOR.MINOR.PATCH.
    public static let text = "0.1.0"
}
