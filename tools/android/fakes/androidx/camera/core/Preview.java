package androidx.camera.core;

import fakes.Threads;

public final class Preview extends UseCase {
    /** What shows the preview; null if nothing does. */
    public SurfaceProvider provider;

    private Preview() {}

    public void setSurfaceProvider(SurfaceProvider provider) {
        Threads.requireMain("A preview is shown");
        this.provider = provider;
    }

    public interface SurfaceProvider {}

    public static final class Builder {
        public Builder setTargetRotation(int rotation) {
            return this;
        }

        public Preview build() {
            return new Preview();
        }
    }
}
