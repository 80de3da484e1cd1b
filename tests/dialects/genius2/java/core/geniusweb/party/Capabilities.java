package geniusweb.party;

import java.util.Set;

/** What a party can play. */
public final class Capabilities {
    public Set<String> behaviours, profiles;

    public Capabilities(Set<String> behaviours, Set<String> profiles) {
        this.behaviours = behaviours;
        this.profiles = profiles;
    }
}
