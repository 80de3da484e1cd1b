package geniusweb.inform;

import com.fasterxml.jackson.annotation.JsonAutoDetect;

/** A party is to act. */
@JsonAutoDetect
public final class YourTurn implements Inform {}
