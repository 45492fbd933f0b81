package androidx.camera.core;

public final class Preview extends UseCase {
    private Preview() {}

    public void setSurfaceProvider(SurfaceProvider provider) {
        throw new UnsupportedOperationException();
    }

    public interface SurfaceProvider {}

    public static final class Builder {
        public Builder setTargetRotation(int rotation) {
            throw new UnsupportedOperationException();
        }

        public Preview build() {
            throw new UnsupportedOperationException();
        }
    }
}
