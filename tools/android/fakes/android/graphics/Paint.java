package android.graphics;

public class Paint {
    private float size = 12;

    public Paint() {}

    public Paint(int flags) {}

    public void setColor(int color) {
        if (color >>> 24 == 0) throw new IllegalArgumentException("an invisible color");
    }

    public void setStrokeWidth(float width) {}

    public void setTextSize(float size) {
        this.size = size;
    }

    public void setStyle(Style style) {}

    public float getTextSize() {
        return size;
    }

    public float descent() {
        return size / 4;
    }

    public float measureText(String text) {
        return text.length() * size / 2;
    }

    public enum Style { FILL, STROKE, FILL_AND_STROKE }
}
