package security

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/millrace/millrace/sdk"
)

// The API keys that a Gate knows.
const (
	keyHandshake    = 17
	keyVersions     = 18
	keyAuthenticate = 36
)

// mostTokens is how many messages an exchange may take. Those that there are take two.
const mostTokens = 16

// leastRenewal is how far two proofs of one connection are apart at least, as in Kafka.
const leastRenewal = time.Second

// stage is how far a connection has come.
type stage uint8

const (
	greeting stage = iota // nothing was said
	choosing              // versions were told
	proving               // a mechanism was chosen
	misled                // another mechanism was chosen to prove it again: the next message fails
	proven
	failed
)

// Verdict is what becomes of a request.
type Verdict uint8

// The verdicts.
const (
	Serve     Verdict = iota
	Illegal           // answered with ILLEGAL_SASL_STATE, and the connection is closed
	Forbidden         // the connection is closed
	Late              // the same, because who is there has to prove it again
)

// Gate decides what the peer of one connection may say. The zero value is one that has said nothing.
//
// Ownership: the connection's loop.
type Gate struct {
	stage     stage
	bare      bool // tokens have no headers (SaslHandshake version 0)
	mechanism string
	other     string // that was chosen in its place
	tokens    int
	who       *sdk.Principal // as it was last proved
	until     time.Time      // when it must be proved again; zero: never
	renewed   time.Time      // when that last began
}

// Bare reports whether the next frame is a message of the mechanism and not a request.
func (g *Gate) Bare() bool { return g.bare && g.stage == proving }

// Renewing reports whether it was proved before.
func (g *Gate) Renewing() bool { return g.who != nil }

// Proven reports whether it is proved now, however long ago.
func (g *Gate) Proven() bool { return g.stage == proven }

// Failed reports whether the proof failed, after which the connection is good for nothing.
func (g *Gate) Failed() bool { return g.stage == failed }

// Judge decides about a request of that key.
func (g *Gate) Judge(key int16, now time.Time) Verdict {
	switch g.stage {
	case greeting:
		if key == keyVersions || key == keyHandshake {
			return Serve
		}
	case choosing:
		if key == keyHandshake {
			return Serve
		}
	case proving, misled:
		if key == keyAuthenticate {
			return Serve
		}
		return Illegal
	case proven:
		if key != keyHandshake && !g.until.IsZero() && now.After(g.until) {
			return Late
		}
		return Serve
	}
	return Forbidden
}

// Versions notes that ApiVersions was answered well: as in Kafka, once.
func (g *Gate) Versions() {
	if g.stage == greeting {
		g.stage = choosing
	}
}

// Begin reports whether a mechanism may be chosen now: before the proof, and to prove it again, not
// sooner than a second after the last time.
func (g *Gate) Begin(now time.Time) bool {
	switch {
	case g.stage == greeting || g.stage == choosing:
		return true
	case g.stage != proven || g.until.IsZero() || !g.renewed.IsZero() && now.Sub(g.renewed) < leastRenewal:
		return false
	}
	g.renewed = now
	return true
}

// Choose takes the mechanism that SaslHandshake of that version names. It reports false when it is
// not among those enabled, which ends the connection.
func (g *Gate) Choose(mechanism string, version int16, enabled []string) bool {
	switch {
	case !slices.Contains(enabled, mechanism):
		g.stage = failed
		return false
	case g.Renewing() && mechanism != g.mechanism:
		g.stage, g.bare, g.other = misled, false, mechanism
		return true
	}
	g.stage, g.bare, g.mechanism, g.tokens = proving, version == 0, mechanism, 0
	return true
}

// Token counts a message for the exchange. The error says why it must not have it: the proof failed.
func (g *Gate) Token() error {
	if g.stage == misled {
		return sdk.Deny(fmt.Sprintf("SASL mechanism '%s' requested by client is not supported for re-authentication of mechanism '%s'", g.other, g.mechanism))
	}
	if g.tokens++; g.stage != proving || g.tokens > mostTokens {
		return errors.New("more messages than any mechanism needs")
	}
	return nil
}

// Prove ends an exchange that succeeded. It answers how long that lasts, 0 for ever; most is
// connections.max.reauth.ms, 0 when that is not set. It fails when somebody else is there now.
func (g *Gate) Prove(who *sdk.Identity, now time.Time, most time.Duration) (time.Duration, error) {
	if g.who != nil && *g.who != who.Principal {
		return 0, sdk.Deny(fmt.Sprintf("Cannot change principals during re-authentication from %s.%s: %s.%s",
			g.who.Type, g.who.Name, who.Principal.Type, who.Principal.Name))
	}
	lasts := max(most, 0)
	if !who.Until.IsZero() {
		left := max(who.Until.Sub(now), time.Millisecond) // 0 would be for ever
		if lasts == 0 || left < lasts {
			lasts = left
		}
	}
	g.stage, g.bare, g.who, g.until = proven, false, &who.Principal, time.Time{}
	if lasts > 0 {
		g.until = now.Add(lasts)
	}
	return lasts, nil
}

// Fail ends an exchange that did not, and with it the connection.
func (g *Gate) Fail() { g.stage = failed }

// Told is what a client hears of an error: the reason of a denial, and of all others that its
// credentials are invalid, in Kafka's words.
func (g *Gate) Told(err error) string {
	if denied, ok := errors.AsType[*sdk.Denial](err); ok {
		return denied.Reason
	}
	what := "authentication"
	if g.Renewing() {
		what = "re-authentication"
	}
	return "Authentication failed during " + what + " due to invalid credentials with SASL mechanism " + g.mechanism
}
