package org.example;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import geniusweb.actions.Action;
import geniusweb.inform.ActionDone;
import geniusweb.inform.Inform;
import geniusweb.inform.Settings;
import geniusweb.inform.YourTurn;
import geniusweb.party.Capabilities;
import geniusweb.party.DefaultParty;
import java.io.IOException;
import java.util.Set;

/** Offers so often, then takes what it is offered. */
public final class Patient extends DefaultParty {
    private Settings settings;
    private JsonNode offered;
    private int offers;

    @Override
    public Capabilities getCapabilities() {
        return new Capabilities(Set.of("SAOP"), Set.of("geniusweb.profile.utilityspace.LinearAdditive"));
    }

    @Override
    public String getDescription() {
        System.out.println("printed by a party");
        return "Offers so often, then takes what it is offered. \u00fc";
    }

    @Override
    public void notifyChange(Inform inform) {
        System.out.println("heard " + inform.getClass().getSimpleName());
        if (inform instanceof Settings) settings = (Settings) inform;
        else if (inform instanceof ActionDone) note(((ActionDone) inform).action);
        else if (inform instanceof YourTurn) act();
    }

    private void note(Action action) {
        if (!action.actor.equals(settings.id)) offered = action.bid;
    }

    private void act() {
        if (settings.parameters.has("crash_after") && offers >= settings.parameters.get("crash_after").asInt())
            throw new IllegalStateException("the party has had enough", new RuntimeException("it was bored"));
        boolean takes = offered != null && offers >= settings.parameters.path("min_offers").asInt();
        Action action = takes ? new Action.Accept() : new Action.Offer();
        action.actor = settings.id;
        action.bid = takes ? offered : new ObjectMapper().valueToTree(new Bid(offers++));
        try {
            connection.send(action);
        } catch (IOException failure) {
            throw new RuntimeException(failure);
        }
    }

    /** Some bid. */
    public static final class Bid {
        public Object issuevalues;

        Bid(int number) {
            issuevalues = java.util.Map.of("price", Integer.toString(number));
        }
    }
}
