package overlay;

/** The API level that a class or member came with, as Android's reference tells it. */
public @interface Since {
    int value();
}
