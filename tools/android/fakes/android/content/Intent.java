package android.content;

import android.net.Uri;
import android.os.Bundle;
import android.os.Parcelable;

public class Intent {
    public static final String ACTION_SEND = "android.intent.action.SEND";
    private final String action;
    private Uri data;
    private String type;
    private int flags;
    private ClipData clip;
    private Bundle extras;

    public Intent() {
        this(null, (Uri) null);
    }

    public Intent(String action) {
        this(action, (Uri) null);
    }

    public Intent(String action, Uri data) {
        this.action = action;
        this.data = data;
    }

    public Intent(Context context, Class<?> screen) {
        this(screen.getName(), (Uri) null);
    }

    public static Intent createChooser(Intent target, CharSequence title) {
        return new Intent("android.intent.action.CHOOSER").putExtra("target", target);
    }

    public String getAction() {
        return action;
    }

    public Uri getData() {
        return data;
    }

    public String getType() {
        return type;
    }

    public Intent setType(String type) {
        this.type = type;
        data = null;
        return this;
    }

    public Intent addCategory(String category) {
        return this;
    }

    public int getFlags() {
        return flags;
    }

    public Intent addFlags(int flags) {
        this.flags |= flags;
        return this;
    }

    public Bundle getExtras() {
        return extras;
    }

    public Intent putExtras(Bundle extras) {
        this.extras = extras;
        return this;
    }

    public Intent putExtra(String name, Parcelable value) {
        return put(name, value);
    }

    public Intent putExtra(String name, Intent value) {
        return put(name, value);
    }

    private Intent put(String name, Object value) {
        if (extras == null) extras = new Bundle();
        extras.put(name, value);
        return this;
    }

    public int getIntExtra(String name, int otherwise) {
        Object value = extras == null ? null : extras.get(name);
        return value instanceof Integer ? (Integer) value : otherwise;
    }

    public ClipData getClipData() {
        return clip;
    }

    public void setClipData(ClipData clip) {
        this.clip = clip;
    }
}
