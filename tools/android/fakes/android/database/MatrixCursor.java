package android.database;

import java.util.ArrayList;
import java.util.List;

public class MatrixCursor {
    public final String[] columns;
    public final List<List<Object>> rows = new ArrayList<>();

    public MatrixCursor(String[] columns) {
        this.columns = columns;
    }

    public void addRow(Iterable<?> values) {
        List<Object> row = new ArrayList<>();
        values.forEach(row::add);
        if (row.size() != columns.length) throw new IllegalArgumentException("columnValues.size() != " + columns.length);
        rows.add(row);
    }
}
