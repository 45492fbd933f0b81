package android.media;

import android.os.Handler;
import android.view.Surface;
import fakes.Misuse;
import fakes.Scene;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.HashSet;
import java.util.Set;

/** A queue of frames: the camera fills it, and `maxImages` of them can be taken out at the same time. */
public class ImageReader implements AutoCloseable {
    /** The frames that a queue holds besides the ones that are taken out. */
    private static final int WAITING = 2;

    private final int width;
    private final int height;
    private final int format;
    private final int most;
    private final Deque<Scene> waiting = new ArrayDeque<>();
    private final Set<Image> taken = new HashSet<>();
    private final Surface surface;
    private OnImageAvailableListener listener;
    private Handler handler;

    private ImageReader(int width, int height, int format, int maxImages) {
        this.width = width;
        this.height = height;
        this.format = format;
        this.most = maxImages;
        surface = new Surface(this, width, height, format);
        Misuse.open(this, "An ImageReader");
    }

    public static ImageReader newInstance(int width, int height, int format, int maxImages) {
        if (width < 1 || height < 1 || maxImages < 1) throw new IllegalArgumentException("width, height, maxImages");
        if (maxImages > 5) Misuse.report("An ImageReader holds " + maxImages + " frames in memory");
        return new ImageReader(width, height, format, maxImages);
    }

    public interface OnImageAvailableListener {
        void onImageAvailable(ImageReader reader);
    }

    public int getWidth() {
        return width;
    }

    public int getHeight() {
        return height;
    }

    public int getImageFormat() {
        return format;
    }

    public int getMaxImages() {
        return most;
    }

    public synchronized void setOnImageAvailableListener(OnImageAvailableListener listener, Handler handler) {
        this.listener = listener;
        this.handler = handler;
    }

    /** Puts a picture of the camera into the queue; when it is full, the picture is lost. */
    public synchronized void deliver(Scene scene) {
        if (!Misuse.isOpen(this)) {
            Misuse.report("The camera writes into a closed ImageReader");
            return;
        }
        if (waiting.size() + taken.size() >= most + WAITING) return;
        waiting.add(scene);
        OnImageAvailableListener listener = this.listener;
        if (listener != null) handler.post(() -> listener.onImageAvailable(this));
    }

    public synchronized Image acquireNextImage() {
        check();
        if (taken.size() >= most) {
            throw Misuse.fail("maxImages (" + most + ") has already been acquired, call #close before acquiring more.");
        }
        Scene scene = waiting.poll();
        if (scene == null) return null;
        Image[] made = new Image[1];
        made[0] = scene.toImage(width, height, () -> release(made[0]));
        taken.add(made[0]);
        return made[0];
    }

    /** Discards all but the latest frame, for which it needs one more than the taken ones, as Android documents. */
    public synchronized Image acquireLatestImage() {
        check();
        if (most - taken.size() < 2 && taken.isEmpty()) {
            Misuse.report("acquireLatestImage of an ImageReader with " + most + " image does not discard old ones");
        }
        Image image = acquireNextImage();
        while (image != null && taken.size() < most && !waiting.isEmpty()) {
            Image next = acquireNextImage();
            image.close();
            image = next;
        }
        return image;
    }

    private synchronized void release(Image image) {
        taken.remove(image);
    }

    private void check() {
        if (!Misuse.isOpen(this)) throw Misuse.fail("A closed ImageReader is used");
    }

    public Surface getSurface() {
        return surface;
    }

    /** Closes the frames, too, whoever reads them. */
    @Override
    public synchronized void close() {
        if (!taken.isEmpty()) Misuse.report("An ImageReader is closed while a frame of it is read");
        surface.release();
        Misuse.close(this);
    }
}
