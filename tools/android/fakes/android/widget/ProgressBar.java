package android.widget;

import android.content.Context;
import android.util.AttributeSet;
import android.view.View;

public class ProgressBar extends View {
    private int progress;

    public ProgressBar(Context context, AttributeSet attributes) {
        super(context, attributes);
    }

    public int getMax() {
        return 100;
    }

    public int getProgress() {
        return progress;
    }

    public void setProgress(int progress) {
        this.progress = progress;
    }
}
