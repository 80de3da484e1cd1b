package geniusweb.inform;

import com.fasterxml.jackson.annotation.JsonSubTypes;
import com.fasterxml.jackson.annotation.JsonTypeInfo;

/** What a party is told: the type stands around the value. */
@JsonTypeInfo(use = JsonTypeInfo.Id.NAME, include = JsonTypeInfo.As.WRAPPER_OBJECT)
@JsonSubTypes({
    @JsonSubTypes.Type(value = Settings.class, name = "Settings"),
    @JsonSubTypes.Type(value = YourTurn.class, name = "YourTurn"),
    @JsonSubTypes.Type(value = ActionDone.class, name = "ActionDone"),
    @JsonSubTypes.Type(value = Finished.class, name = "Finished")
})
public interface Inform {}
