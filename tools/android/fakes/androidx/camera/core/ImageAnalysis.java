package androidx.camera.core;

import android.graphics.Matrix;
import android.graphics.Rect;
import android.media.Image;
import android.util.Size;
import fakes.Camera;
import fakes.Misuse;
import fakes.Scene;
import java.util.ArrayDeque;
import java.util.Arrays;
import java.util.Deque;
import java.util.concurrent.Executor;
import java.util.concurrent.RejectedExecutionException;

/** Gives frames to an analyzer, one after the other: the next one when the one before has been closed. */
public final class ImageAnalysis extends UseCase {
    public static final int STRATEGY_KEEP_ONLY_LATEST = 0;
    public static final int STRATEGY_BLOCK_PRODUCER = 1;
    public static final int COORDINATE_SYSTEM_ORIGINAL = 0;
    public static final int OUTPUT_IMAGE_FORMAT_YUV_420_888 = 1;
    public static final int OUTPUT_IMAGE_FORMAT_RGBA_8888 = 2;

    private static final int WIDTH = 640;
    private static final int HEIGHT = 480;

    private final int strategy;
    private final int rotation;
    private final Deque<Scene> waiting = new ArrayDeque<>();
    private Executor executor;
    private Analyzer analyzer;
    private Camera.Mounted camera;
    private ViewPort port;
    private boolean reading;

    private ImageAnalysis(int strategy, int rotation) {
        this.strategy = strategy;
        this.rotation = rotation;
    }

    public synchronized void setAnalyzer(Executor executor, Analyzer analyzer) {
        this.executor = executor;
        this.analyzer = analyzer;
    }

    /** For the fake camera: frames come from now on, until it is null. */
    public synchronized void connect(Camera.Mounted camera, ViewPort port) {
        this.camera = camera;
        this.port = port;
        waiting.clear();
    }

    /** Takes a picture. */
    public synchronized void deliver(Scene scene) {
        if (strategy == STRATEGY_KEEP_ONLY_LATEST) waiting.clear();
        waiting.add(scene);
        analyzeNext();
    }

    private synchronized void analyzeNext() {
        if (camera == null || analyzer == null || reading || waiting.isEmpty()) return;
        reading = true;
        Scene scene = waiting.poll();
        Frame frame = new Frame(scene.toImage(WIDTH, HEIGHT, this::closed), clockwise(), crop());
        Analyzer analyzer = this.analyzer;
        try {
            executor.execute(() -> analyzer.analyze(frame));
        } catch (RejectedExecutionException reason) {
            Misuse.report("A frame comes for an executor that has been shut down");
            frame.close();
        }
    }

    private synchronized void closed() {
        reading = false;
        analyzeNext();
    }

    private int clockwise() {
        int display = 90 * rotation;
        return Math.floorMod(camera.front ? camera.sensor + display : camera.sensor - display, 360);
    }

    /** Returns the part of a frame that the view shows. */
    private Rect crop() {
        if (port == null) return new Rect(0, 0, WIDTH, HEIGHT);
        boolean sideways = clockwise() % 180 == 90;
        double across = sideways ? port.height : port.width;
        double down = sideways ? port.width : port.height;
        double scale = Math.min(WIDTH / across, HEIGHT / down);
        int width = (int) (across * scale);
        int height = (int) (down * scale);
        int left = (WIDTH - width) / 2;
        int top = (HEIGHT - height) / 2;
        return new Rect(left, top, left + width, top + height);
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

    /** A frame; whoever uses it after it is closed reads something else. */
    private static final class Frame implements ImageProxy {
        private final Image image;
        private final int clockwise;

        Frame(Image image, int clockwise, Rect crop) {
            this.image = image;
            this.clockwise = clockwise;
            image.setCropRect(crop);
        }

        @Override
        public void close() {
            image.close();
        }

        @Override
        public Rect getCropRect() {
            return image.getCropRect();
        }

        @Override
        public void setCropRect(Rect rect) {
            image.setCropRect(rect);
        }

        @Override
        public int getFormat() {
            return image.getFormat();
        }

        @Override
        public int getHeight() {
            return image.getHeight();
        }

        @Override
        public int getWidth() {
            return image.getWidth();
        }

        @Override
        public PlaneProxy[] getPlanes() {
            return Arrays.stream(image.getPlanes()).map(Part::new).toArray(PlaneProxy[]::new);
        }

        @Override
        public ImageInfo getImageInfo() {
            return new ImageInfo() {
                @Override
                public long getTimestamp() {
                    return 0;
                }

                @Override
                public int getRotationDegrees() {
                    return clockwise;
                }
            };
        }
    }

    private static final class Part implements ImageProxy.PlaneProxy {
        private final Image.Plane plane;

        Part(Image.Plane plane) {
            this.plane = plane;
        }

        @Override
        public int getRowStride() {
            return plane.getRowStride();
        }

        @Override
        public int getPixelStride() {
            return plane.getPixelStride();
        }

        @Override
        public java.nio.ByteBuffer getBuffer() {
            return plane.getBuffer();
        }
    }

    public static final class Builder {
        private int strategy = STRATEGY_KEEP_ONLY_LATEST;
        private int rotation;

        public Builder setBackpressureStrategy(int strategy) {
            this.strategy = strategy;
            return this;
        }

        public Builder setOutputImageFormat(int format) {
            throw new UnsupportedOperationException();
        }

        public Builder setTargetRotation(int rotation) {
            this.rotation = rotation;
            return this;
        }

        public ImageAnalysis build() {
            return new ImageAnalysis(strategy, rotation);
        }
    }
}
