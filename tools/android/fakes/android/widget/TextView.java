package android.widget;

import android.content.Context;
import android.util.AttributeSet;
import android.view.View;

public class TextView extends View {
    private CharSequence text = "";

    public TextView(Context context) {
        super(context);
    }

    public TextView(Context context, AttributeSet attributes) {
        super(context, attributes);
    }

    public CharSequence getText() {
        return text;
    }

    public final void setText(CharSequence text) {
        checkThread();
        this.text = text == null ? "" : text;
    }

    public final void setText(int text) {
        setText(getContext().getString(text));
    }
}
