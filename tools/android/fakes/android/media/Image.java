package android.media;

import android.graphics.Rect;
import fakes.Misuse;
import fakes.Scene;
import java.nio.ByteBuffer;
import java.util.Arrays;

/** A camera frame. Closing it gives its buffers back to the camera, which fills them with something else. */
public class Image implements AutoCloseable {
    private final int width;
    private final int height;
    private final Plane[] planes;
    private final Runnable closed;
    private Rect crop;

    /** For the camera and tests; `closed` runs when the frame is closed. */
    public Image(int width, int height, Plane[] planes, Runnable closed) {
        this.width = width;
        this.height = height;
        this.planes = planes;
        this.closed = closed;
        crop = new Rect(0, 0, width, height);
        Misuse.open(this, "A frame of the camera");
    }

    public int getWidth() {
        check();
        return width;
    }

    public int getHeight() {
        check();
        return height;
    }

    public int getFormat() {
        check();
        return Scene.YUV_420_888;
    }

    public Rect getCropRect() {
        check();
        return crop;
    }

    public void setCropRect(Rect crop) {
        check();
        this.crop = crop;
    }

    public Plane[] getPlanes() {
        check();
        return planes;
    }

    private void check() {
        if (!Misuse.isOpen(this)) throw Misuse.fail("A closed frame is used");
    }

    @Override
    public void close() {
        if (!Misuse.isOpen(this)) return;
        for (Plane plane : planes) plane.overwrite();
        Misuse.close(this);
        closed.run();
    }

    public static class Plane {
        private final byte[] garbage;
        private final ByteBuffer buffer;
        private final int rowStride;
        private final int pixelStride;

        public Plane(ByteBuffer buffer, int rowStride, int pixelStride) {
            this.buffer = buffer;
            this.rowStride = rowStride;
            this.pixelStride = pixelStride;
            garbage = new byte[buffer.capacity()];
            Arrays.fill(garbage, (byte) 0x2A);
        }

        public ByteBuffer getBuffer() {
            return buffer.asReadOnlyBuffer();
        }

        public int getRowStride() {
            return rowStride;
        }

        public int getPixelStride() {
            return pixelStride;
        }

        private void overwrite() {
            ByteBuffer all = buffer.duplicate();
            all.clear();
            all.put(garbage);
        }
    }
}
