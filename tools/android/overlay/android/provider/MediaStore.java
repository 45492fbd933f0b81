package android.provider;

import overlay.Since;

public final class MediaStore {
    @Since(33)
    public static final String ACTION_PICK_IMAGES = "android.provider.action.PICK_IMAGES";
}
