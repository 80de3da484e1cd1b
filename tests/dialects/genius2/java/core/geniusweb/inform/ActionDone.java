package geniusweb.inform;

import geniusweb.actions.Action;

/** Somebody has acted. */
public final class ActionDone implements Inform {
    public Action action;
}
