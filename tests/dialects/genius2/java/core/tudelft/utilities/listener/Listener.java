package tudelft.utilities.listener;

/** Hears. */
public interface Listener<T> {
    void notifyChange(T data);
}
