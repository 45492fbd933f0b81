package android.graphics;

import java.awt.geom.AffineTransform;

public class Matrix {
    private final AffineTransform transform = new AffineTransform();

    public boolean postScale(float x, float y, float aboutX, float aboutY) {
        AffineTransform scale = AffineTransform.getTranslateInstance(aboutX, aboutY);
        scale.scale(x, y);
        scale.translate(-aboutX, -aboutY);
        transform.preConcatenate(scale);
        return true;
    }

    public boolean postRotate(float degrees, float aboutX, float aboutY) {
        transform.preConcatenate(AffineTransform.getRotateInstance(Math.toRadians(degrees), aboutX, aboutY));
        return true;
    }

    public boolean postTranslate(float x, float y) {
        transform.preConcatenate(AffineTransform.getTranslateInstance(x, y));
        return true;
    }

    public void mapPoints(float[] points) {
        transform.transform(points, 0, points, 0, points.length / 2);
    }
}
