package androidx.camera.core;

import java.util.ArrayList;
import java.util.List;

public final class UseCaseGroup {
    /** Null if frames are used as a whole. */
    public ViewPort port;

    public final List<UseCase> useCases = new ArrayList<>();

    private UseCaseGroup() {}

    public static final class Builder {
        private final UseCaseGroup group = new UseCaseGroup();

        public Builder setViewPort(ViewPort port) {
            group.port = port;
            return this;
        }

        public Builder addUseCase(UseCase useCase) {
            group.useCases.add(useCase);
            return this;
        }

        public UseCaseGroup build() {
            return group;
        }
    }
}
