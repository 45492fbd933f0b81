package android.content;

public abstract class ContentProvider {
    private Context context;

    /** For tests: starts the provider. */
    public void attach(Context context) {
        this.context = context;
        onCreate();
    }

    public abstract boolean onCreate();

    public final Context getContext() {
        return context;
    }
}
