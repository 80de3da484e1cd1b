package geniusweb.connection;

import java.io.IOException;
import java.net.URI;
import tudelft.utilities.listener.Listener;

/** A party's end of its connection. */
public interface ConnectionEnd<IN, OUT> {
    void addListener(Listener<IN> listener);

    void removeListener(Listener<IN> listener);

    void send(OUT data) throws IOException;

    URI getRemoteURI();

    void close();
}
