package overlay;

/** The API level of a class or member in Android's reference. */
public @interface Since {
    int value();
}
