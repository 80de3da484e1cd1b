package geniusweb.actions;

import com.fasterxml.jackson.annotation.JsonTypeInfo;
import com.fasterxml.jackson.annotation.JsonSubTypes;
import com.fasterxml.jackson.databind.JsonNode;

/** What a party does, in the Java dialect: names in lower case. */
@JsonTypeInfo(use = JsonTypeInfo.Id.NAME, include = JsonTypeInfo.As.WRAPPER_OBJECT)
@JsonSubTypes({
    @JsonSubTypes.Type(value = Action.Offer.class, name = "offer"),
    @JsonSubTypes.Type(value = Action.Accept.class, name = "accept")
})
public abstract class Action {
    public String actor;
    public JsonNode bid;

    public static final class Offer extends Action {}

    public static final class Accept extends Action {}
}
