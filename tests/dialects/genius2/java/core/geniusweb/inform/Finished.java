package geniusweb.inform;

import com.fasterxml.jackson.databind.JsonNode;

/** It is over. */
public final class Finished implements Inform {
    public JsonNode agreements;
}
