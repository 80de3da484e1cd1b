package geniusweb.inform;

import com.fasterxml.jackson.databind.JsonNode;

/** Who a party is, and until when it plays. */
public final class Settings implements Inform {
    public String id, profile, protocol;
    public JsonNode progress, parameters;
}
