package security

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/fuzz"
	"github.com/millrace/millrace/sdk"
)

const (
	keyProduce  = 0
	keyMetadata = 3
)

var begin = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

var alice = &sdk.Identity{Principal: sdk.Principal{Type: "User", Name: "alice"}}

// told brings a gate to a stage.
func told(what ...string) *Gate {
	g := new(Gate)
	for _, one := range what {
		switch one {
		case "versions":
			g.Versions()
		case "choose":
			g.Choose("PLAIN", 1, []string{"PLAIN", "OTHER"})
		case "choose bare":
			g.Choose("PLAIN", 0, []string{"PLAIN"})
		case "other":
			g.Choose("OTHER", 1, []string{"PLAIN", "OTHER"})
		case "none":
			g.Choose("NONE", 1, []string{"PLAIN"})
		case "prove":
			g.Prove(alice, begin, 0) //nolint:errcheck // a test that needs it looks at what follows
		case "prove for a minute":
			g.Prove(alice, begin, time.Minute) //nolint:errcheck // as above
		case "fail":
			g.Fail()
		}
	}
	return g
}

// Everything but what belongs to a stage closes the connection, or is answered with an error.
func TestWhatMayBeSaid(t *testing.T) {
	keys := []int16{keyProduce, keyMetadata, keyHandshake, keyVersions, keyAuthenticate, 999, -1}
	for name, test := range map[string]struct {
		said []string
		at   time.Duration
		want [7]Verdict
	}{
		"nothing":                   {nil, 0, [7]Verdict{Forbidden, Forbidden, Serve, Serve, Forbidden, Forbidden, Forbidden}},
		"versions":                  {[]string{"versions"}, 0, [7]Verdict{Forbidden, Forbidden, Serve, Forbidden, Forbidden, Forbidden, Forbidden}},
		"a mechanism":               {[]string{"versions", "choose"}, 0, [7]Verdict{Illegal, Illegal, Illegal, Illegal, Serve, Illegal, Illegal}},
		"a mechanism at once":       {[]string{"choose"}, 0, [7]Verdict{Illegal, Illegal, Illegal, Illegal, Serve, Illegal, Illegal}},
		"no mechanism":              {[]string{"none"}, 0, [7]Verdict{Forbidden, Forbidden, Forbidden, Forbidden, Forbidden, Forbidden, Forbidden}},
		"failed":                    {[]string{"choose", "fail"}, 0, [7]Verdict{Forbidden, Forbidden, Forbidden, Forbidden, Forbidden, Forbidden, Forbidden}},
		"proven":                    {[]string{"choose", "prove"}, 0, [7]Verdict{}},
		"proven long ago":           {[]string{"choose", "prove"}, 1000 * time.Hour, [7]Verdict{}},
		"proven for a while":        {[]string{"choose", "prove for a minute"}, time.Minute, [7]Verdict{}},
		"over":                      {[]string{"choose", "prove for a minute"}, time.Minute + 1, [7]Verdict{Late, Late, Serve, Late, Late, Late, Late}},
		"proving again":             {[]string{"choose", "prove for a minute", "choose"}, 0, [7]Verdict{Illegal, Illegal, Illegal, Illegal, Serve, Illegal, Illegal}},
		"again, by something else":  {[]string{"choose", "prove for a minute", "other"}, 0, [7]Verdict{Illegal, Illegal, Illegal, Illegal, Serve, Illegal, Illegal}},
		"again, by what is not":     {[]string{"choose", "prove for a minute", "none"}, 0, [7]Verdict{Forbidden, Forbidden, Forbidden, Forbidden, Forbidden, Forbidden, Forbidden}},
		"proven again for a minute": {[]string{"choose", "prove for a minute", "choose", "prove for a minute"}, time.Hour, [7]Verdict{Late, Late, Serve, Late, Late, Late, Late}},
	} {
		g := told(test.said...)
		for i, key := range keys {
			if got := g.Judge(key, begin.Add(test.at)); got != test.want[i] {
				t.Errorf("%s, key %d: %d, want %d", name, key, got, test.want[i])
			}
		}
	}
}

func TestBareTokens(t *testing.T) {
	if g := told("choose"); g.Bare() {
		t.Error("tokens of version 1 have headers")
	}
	g := told("choose bare")
	if !g.Bare() {
		t.Error("tokens of version 0 have none")
	}
	if _, err := g.Prove(alice, begin, 0); err != nil || g.Bare() {
		t.Errorf("%v, bare %v behind the proof", err, g.Bare())
	}
}

func TestWhenItMayBeProvedAgain(t *testing.T) {
	if told("choose").Begin(begin) || told("choose", "prove").Begin(begin) || told("fail").Begin(begin) {
		t.Error("a mechanism may be chosen twice, or again without need")
	}
	if !told().Begin(begin) || !told("versions").Begin(begin) {
		t.Error("no mechanism may be chosen")
	}
	g := told("choose", "prove for a minute")
	if !g.Begin(begin) || g.Begin(begin.Add(time.Second-1)) || !g.Begin(begin.Add(time.Second)) {
		t.Error("a proof may be renewed once a second")
	}
}

func TestHowLongAProofLasts(t *testing.T) {
	until := func(d time.Duration) *sdk.Identity {
		return &sdk.Identity{Principal: alice.Principal, Until: begin.Add(d)}
	}
	for name, test := range map[string]struct {
		who  *sdk.Identity
		most time.Duration
		want time.Duration
	}{
		"for ever":            {alice, 0, 0},
		"the setting":         {alice, time.Minute, time.Minute},
		"negative":            {alice, -1, 0},
		"the credential":      {until(time.Second), 0, time.Second},
		"the credential ends": {until(time.Second), time.Minute, time.Second},
		"the setting first":   {until(time.Hour), time.Minute, time.Minute},
		"over already":        {until(-time.Hour), 0, time.Millisecond},
	} {
		g := told("choose")
		if got, err := g.Prove(test.who, begin, test.most); err != nil || got != test.want {
			t.Errorf("%s: %v, %v, want %v", name, got, err, test.want)
		}
	}
}

func TestSomebodyElseIsRefused(t *testing.T) {
	g := told("choose", "prove for a minute", "choose")
	bob := &sdk.Identity{Principal: sdk.Principal{Type: "User", Name: "bob"}}
	_, err := g.Prove(bob, begin, 0)
	if err == nil || g.Told(err) != "Cannot change principals during re-authentication from User.alice: User.bob" {
		t.Fatal(err)
	}
	if err := told("choose", "prove for a minute", "other").Token(); err == nil {
		t.Fatal("the mechanism was changed")
	}
}

func TestAnEndlessExchangeEnds(t *testing.T) {
	g := told("choose")
	n := 0
	for g.Token() == nil {
		if n++; n > 1000 {
			t.Fatal("it never ends")
		}
	}
	if n != mostTokens {
		t.Fatalf("%d messages, want %d", n, mostTokens)
	}
}

func TestWhatIsTold(t *testing.T) {
	g := told("choose")
	if got := g.Told(sdk.Deny("not today")); got != "not today" {
		t.Error(got)
	}
	if got := g.Told(errors.New("the database hush is down")); got != "Authentication failed during authentication due to invalid credentials with SASL mechanism PLAIN" {
		t.Error(got)
	}
	if got := told("choose", "prove for a minute", "choose").Told(errors.New("x")); !strings.HasPrefix(got, "Authentication failed during re-authentication due to") {
		t.Error(got)
	}
}

// FuzzGate says anything in any order. Nothing but the three keys is served before a proof, and a
// gate that failed stays so.
func FuzzGate(f *testing.F) {
	f.Add([]byte{1, 2, 18, 3, 36})
	f.Add([]byte{2, 3, 36, 2, 5, 36, 17, 0})
	fuzz.Run(f, func(t *testing.T, steps []byte) {
		g, now, dead := new(Gate), begin, false
		for i, step := range steps {
			now = now.Add(time.Duration(step) * time.Millisecond)
			before := *g
			switch step % 8 {
			case 0:
				g.Versions()
			case 1:
				if g.Begin(now) {
					g.Choose("PLAIN", int16(step>>7), []string{"PLAIN"})
				}
			case 2:
				if g.Begin(now) {
					g.Choose("NONE", 1, []string{"PLAIN"})
				}
			case 3:
				if g.stage == proving {
					g.Prove(alice, now, time.Duration(step)*time.Millisecond) //nolint:errcheck // any end will do
				}
			case 4:
				if g.stage == proving && g.Token() != nil {
					g.Fail()
				}
			}
			// What only time has changed is asked about one key after the other.
			from, to := int16(-1), int16(100)
			if i > 0 && *g == before {
				from += int16(i % 101)
				to = from + 1
			}
			for key := from; key < to; key++ {
				verdict := g.Judge(key, now)
				if allowed := key == keyVersions || key == keyHandshake || key == keyAuthenticate; verdict == Serve && !g.Proven() && !allowed {
					t.Fatalf("key %d is served before a proof", key)
				}
				if dead && verdict != Forbidden {
					t.Fatalf("key %d: %d after a failure", key, verdict)
				}
			}
			dead = g.Failed()
		}
	})
}
