package geniusweb.party;

import geniusweb.actions.Action;
import geniusweb.connection.ConnectionEnd;
import geniusweb.inform.Inform;
import tudelft.utilities.listener.Listener;

/** What parties derive from. */
public abstract class DefaultParty implements Listener<Inform> {
    protected ConnectionEnd<Inform, Action> connection;

    public abstract Capabilities getCapabilities();

    public abstract String getDescription();

    public void connect(ConnectionEnd<Inform, Action> connection) {
        this.connection = connection;
        connection.addListener(this);
    }

    public void terminate() {
        connection.close();
    }
}
