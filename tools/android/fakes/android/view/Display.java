package android.view;

import fakes.Phone;

public final class Display {
    public int getRotation() {
        return Phone.rotation;
    }
}
