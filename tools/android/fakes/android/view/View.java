package android.view;

import android.content.Context;
import android.content.res.Resources;
import android.graphics.Canvas;
import android.util.AttributeSet;
import fakes.Misuse;
import fakes.Threads;
import java.util.ArrayList;
import java.util.List;

public class View {
    public static final int VISIBLE = 0;
    public static final int INVISIBLE = 4;
    public static final int GONE = 8;

    private final Context context;
    private int id = -1;
    private int width;
    private int height;
    private int visibility;
    private boolean enabled = true;
    private CharSequence description;
    private OnClickListener onClick;
    private final List<OnLayoutChangeListener> watchers = new ArrayList<>();

    public View(Context context) {
        this(context, null);
    }

    public View(Context context, AttributeSet attributes) {
        this.context = context;
    }

    public interface OnClickListener {
        void onClick(View view);
    }

    public interface OnLayoutChangeListener {
        void onLayoutChange(
                View view,
                int left,
                int top,
                int right,
                int bottom,
                int oldLeft,
                int oldTop,
                int oldRight,
                int oldBottom);
    }

    public void addOnLayoutChangeListener(OnLayoutChangeListener watcher) {
        checkThread();
        watchers.add(watcher);
        Misuse.open(watcher, "A layout listener");
    }

    public void removeOnLayoutChangeListener(OnLayoutChangeListener watcher) {
        checkThread();
        watchers.remove(watcher);
        Misuse.close(watcher);
    }

    /** Views belong to the main thread. */
    protected final void checkThread() {
        Threads.requireMain("A " + getClass().getSimpleName() + " is changed");
    }

    /** Lets a person press the view. */
    public void press() {
        if (visibility != VISIBLE || !enabled || onClick == null) throw new AssertionError("nobody can press this view");
        onClick.onClick(this);
    }

    /** Gives the view a size, as the screen does. */
    public void layOut(int width, int height) {
        int oldWidth = this.width;
        int oldHeight = this.height;
        this.width = width;
        this.height = height;
        onSizeChanged(width, height, oldWidth, oldHeight);
        for (OnLayoutChangeListener watcher : new ArrayList<>(watchers)) {
            watcher.onLayoutChange(this, 0, 0, width, height, 0, 0, oldWidth, oldHeight);
        }
    }

    /** Lets the view draw itself. */
    public void draw(Canvas canvas) {
        onDraw(canvas);
    }

    protected void onSizeChanged(int width, int height, int oldWidth, int oldHeight) {}

    protected void onDraw(Canvas canvas) {}

    public void invalidate() {
        checkThread();
    }

    public View findViewById(int id) {
        return this.id == id ? this : null;
    }

    public final Context getContext() {
        return context;
    }

    public Resources getResources() {
        return context.getResources();
    }

    public Display getDisplay() {
        return new Display();
    }

    public int getId() {
        return id;
    }

    public void setId(int id) {
        this.id = id;
    }

    public final int getWidth() {
        return width;
    }

    public final int getHeight() {
        return height;
    }

    public int getVisibility() {
        return visibility;
    }

    public void setVisibility(int visibility) {
        checkThread();
        this.visibility = visibility;
    }

    public boolean isEnabled() {
        return enabled;
    }

    public void setEnabled(boolean enabled) {
        checkThread();
        this.enabled = enabled;
    }

    public void setMinimumHeight(int height) {
        checkThread();
    }

    public CharSequence getContentDescription() {
        return description;
    }

    public void setContentDescription(CharSequence description) {
        checkThread();
        this.description = description;
    }

    public void setOnClickListener(OnClickListener listener) {
        checkThread();
        onClick = listener;
    }
}
