package android.widget;

import android.content.Context;
import android.graphics.Bitmap;
import android.util.AttributeSet;
import android.view.View;
import fakes.Misuse;

public class ImageView extends View {
    private static final int LARGEST = 100 << 20;
    private Bitmap bitmap;

    public ImageView(Context context, AttributeSet attributes) {
        super(context, attributes);
    }

    public void setImageBitmap(Bitmap bitmap) {
        checkThread();
        if (bitmap != null && bitmap.getByteCount() > LARGEST) Misuse.report("A view shows too large a bitmap");
        this.bitmap = bitmap;
    }

    /** Returns the shown bitmap. */
    public Bitmap getBitmap() {
        return bitmap;
    }
}
