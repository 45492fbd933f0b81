package androidx.camera.core;

public final class UseCaseGroup {
    private UseCaseGroup() {}

    public static final class Builder {
        public Builder setViewPort(ViewPort port) {
            throw new UnsupportedOperationException();
        }

        public Builder addUseCase(UseCase useCase) {
            throw new UnsupportedOperationException();
        }

        public UseCaseGroup build() {
            throw new UnsupportedOperationException();
        }
    }
}
