package android.graphics;

import fakes.Misuse;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;

/** Reports what is drawn outside the view. */
public class Canvas {
    /** The drawn texts. */
    public final List<String> texts = new ArrayList<>();
    public int rectangles;
    /** The sides of the drawn rectangles: left, top, right and bottom. */
    public final List<float[]> places = new ArrayList<>();
    private final float width;
    private final float height;
    private final Deque<float[]> saved = new ArrayDeque<>();
    private float x;
    private float y;

    /** For tests. */
    public Canvas(float width, float height) {
        this.width = width;
        this.height = height;
    }

    public int save() {
        saved.push(new float[] {x, y});
        return saved.size();
    }

    public void restore() {
        float[] last = saved.pop();
        x = last[0];
        y = last[1];
    }

    public void translate(float x, float y) {
        this.x += x;
        this.y += y;
    }

    public void drawRect(float left, float top, float right, float bottom, Paint paint) {
        rectangles++;
        places.add(new float[] {this.x + left, this.y + top, this.x + right, this.y + bottom});
        inside("A rectangle", left, top);
        inside("A rectangle", right, bottom);
    }

    public void drawLine(float startX, float startY, float endX, float endY, Paint paint) {
        inside("A line", startX, startY);
        inside("A line", endX, endY);
    }

    public void drawText(String text, float x, float y, Paint paint) {
        texts.add(text);
        inside("The text " + text, x, y);
        inside("The text " + text, x + paint.measureText(text), y + paint.descent());
    }

    private void inside(String what, float x, float y) {
        float slack = 0.5f;
        float across = this.x + x;
        float down = this.y + y;
        if (across < -slack || down < -slack || across > width + slack || down > height + slack) {
            Misuse.report(what + " is drawn outside of its view, at " + across + ", " + down);
        }
    }
}
