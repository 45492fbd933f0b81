package androidx.camera.core;

import android.graphics.Matrix;
import android.util.Size;
import java.util.concurrent.Executor;

public final class ImageAnalysis extends UseCase {
    public static final int STRATEGY_KEEP_ONLY_LATEST = 0;
    public static final int STRATEGY_BLOCK_PRODUCER = 1;
    public static final int COORDINATE_SYSTEM_ORIGINAL = 0;
    public static final int OUTPUT_IMAGE_FORMAT_YUV_420_888 = 1;
    public static final int OUTPUT_IMAGE_FORMAT_RGBA_8888 = 2;

    private ImageAnalysis() {}

    public void setAnalyzer(Executor executor, Analyzer analyzer) {
        throw new UnsupportedOperationException();
    }

    public void clearAnalyzer() {
        throw new UnsupportedOperationException();
    }

    public void setTargetRotation(int rotation) {
        throw new UnsupportedOperationException();
    }

    public interface Analyzer {
        void analyze(ImageProxy image);

        default Size getDefaultTargetResolution() {
            return null;
        }

        default int getTargetCoordinateSystem() {
            return COORDINATE_SYSTEM_ORIGINAL;
        }

        default void updateTransform(Matrix matrix) {}
    }

    public static final class Builder {
        public Builder setBackpressureStrategy(int strategy) {
            throw new UnsupportedOperationException();
        }

        public Builder setOutputImageFormat(int format) {
            throw new UnsupportedOperationException();
        }

        public Builder setTargetRotation(int rotation) {
            throw new UnsupportedOperationException();
        }

        public ImageAnalysis build() {
            throw new UnsupportedOperationException();
        }
    }
}
