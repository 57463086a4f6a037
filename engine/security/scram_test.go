package security

import (
	"bytes"
	"context"
	"crypto/pbkdf2"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/sasl"
	client "github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/millrace/millrace/engine/fuzz"
	"github.com/millrace/millrace/sdk"
)

// users are credentials by mechanism and user.
type users map[string]Credential

func (u users) Find(mechanism, user string) (Credential, bool) {
	c, ok := u[mechanism+" "+user]
	return c, ok
}

func (u users) Sample(mechanism string, _ uint64) (Credential, bool) {
	for key, c := range u {
		if strings.HasPrefix(key, mechanism) {
			return c, true
		}
	}
	return Credential{}, false
}

// credential is what is kept of a password.
func credential(t testing.TB, mechanism, password, salt string, iterations int) Credential {
	t.Helper()
	h := hashOf(mechanism)
	salted, err := pbkdf2.Key(h, password, []byte(salt), iterations, h().Size())
	if err != nil {
		t.Fatal(err)
	}
	c := Credential{Salt: []byte(salt), Iterations: int32(iterations)}
	c.StoredKey, c.ServerKey = Keys(mechanism, salted)
	return c
}

func someUsers(t testing.TB) users {
	return users{
		Scram256 + " alice": credential(t, Scram256, "pencil", "salt of alice", 4096),
		Scram512 + " alice": credential(t, Scram512, "pen", "another salt", 8192),
		Scram256 + " a=b,c": credential(t, Scram256, "péncil", "s", 4096),
	}
}

// say runs an exchange of a client that is not ours.
func say(t *testing.T, a sdk.Authenticator, m sasl.Mechanism) (*sdk.Identity, error) {
	t.Helper()
	session, message, err := m.Authenticate(context.Background(), "")
	if err != nil {
		t.Fatal(err)
	}
	e := a.Begin(sdk.Peer{})
	for {
		answer, who, err := e.Step(context.Background(), message)
		if err != nil {
			return nil, err
		}
		done, next, err := session.Challenge(answer)
		if err != nil {
			t.Fatalf("the client refuses %q: %v", answer, err)
		}
		if done {
			return who, nil
		}
		message = next
	}
}

func TestScramWithAClient(t *testing.T) {
	c := someUsers(t)
	mechanism := func(name string, a client.Auth) sasl.Mechanism {
		if name == Scram512 {
			return a.AsSha512Mechanism()
		}
		return a.AsSha256Mechanism()
	}
	for name, test := range map[string]struct {
		mechanism      string
		user, password string
		zid            string
		fine           bool
	}{
		"right":                    {Scram256, "alice", "pencil", "", true},
		"right by 512":             {Scram512, "alice", "pen", "", true},
		"the other's password":     {Scram512, "alice", "pencil", "", false},
		"wrong":                    {Scram256, "alice", "pencils", "", false},
		"signs in name":            {Scram256, "a=b,c", "péncil", "", true},
		"nobody":                   {Scram256, "bob", "pencil", "", false},
		"nobody by 512":            {Scram512, "bob", "pencil", "", false},
		"as oneself":               {Scram256, "alice", "pencil", "alice", true},
		"as somebody else":         {Scram256, "alice", "pencil", "bob", false},
		"the same in upper case":   {Scram256, "ALICE", "pencil", "", false},
		"a name of another scheme": {Scram512, "a=b,c", "péncil", "", false},
	} {
		who, err := say(t, NewScram(test.mechanism, c), mechanism(test.mechanism, client.Auth{User: test.user, Pass: test.password, Zid: test.zid}))
		switch {
		case test.fine && (err != nil || who == nil || who.Principal != sdk.Principal{Type: "User", Name: test.user}):
			t.Errorf("%s: %v, %+v", name, err, who)
		case !test.fine && (err == nil || who != nil):
			t.Errorf("%s: it is proved that it is %+v", name, who)
		}
	}
}

// The exchange of RFC 7677 word for word, but for the server's half of the nonce.
func TestTheExampleOfRFC7677(t *testing.T) {
	salt, err := base64.StdEncoding.DecodeString("W22ZaJ0SNY7soEsUEjb6gQ==")
	if err != nil {
		t.Fatal(err)
	}
	s := &scram{name: Scram256, hash: hashOf(Scram256), credentials: users{Scram256 + " user": credential(t, Scram256, "pencil", string(salt), 4096)},
		nonce: func() string { return "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0" }}
	e := s.Begin(sdk.Peer{})
	answer, who, err := e.Step(context.Background(), []byte("n,,n=user,r=rOprNGfwEbeRWgbNEkqO"))
	if want := "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"; err != nil || who != nil || string(answer) != want {
		t.Fatalf("%q, %v", answer, err)
	}
	answer, who, err = e.Step(context.Background(), []byte("c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="))
	if want := "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="; err != nil || who == nil || string(answer) != want {
		t.Fatalf("%q, %v", answer, err)
	}
	if _, _, err := e.Step(context.Background(), []byte("c=biws")); err == nil {
		t.Fatal("there is a third message")
	}
}

// Who asks about users learns nothing: one that does not exist is answered like one that does, the
// same each time, and fails at the same place with the same words.
func TestUsersThatDoNotExistLookAlike(t *testing.T) {
	a := NewScram(Scram256, users{Scram256 + " alice": credential(t, Scram256, "pencil", "salt of alice", 8192)})
	challenge := func(user string) (salt string, iterations string) {
		answer, _, err := a.Begin(sdk.Peer{}).Step(context.Background(), []byte("n,,n="+user+",r=abc"))
		if err != nil {
			t.Fatal(err)
		}
		parts := strings.Split(string(answer), ",")
		return parts[1], parts[2]
	}
	known, iterations := challenge("alice")
	one, i := challenge("bob")
	again, _ := challenge("bob")
	other, _ := challenge("carol")
	if i != iterations || len(one) != len(known) || one != again || one == other {
		t.Fatalf("alice has %s %s, bob %s and %s %s, carol %s", known, iterations, one, again, i, other)
	}
	wrong := client.Auth{User: "alice", Pass: "x"}
	_, first := say(t, a, wrong.AsSha256Mechanism())
	missing := client.Auth{User: "bob", Pass: "x"}
	if _, second := say(t, a, missing.AsSha256Mechanism()); first == nil || second == nil || first.Error() != second.Error() {
		t.Fatalf("%v and %v", first, second)
	}
}

// proofOf is the last message of a client that knows the password, with changes.
func proofOf(t *testing.T, first, challenge string, channel string, nonce func(string) string) []byte {
	t.Helper()
	parts := strings.Split(challenge, ",")
	salt, err := base64.StdEncoding.DecodeString(parts[1][2:])
	if err != nil {
		t.Fatal(err)
	}
	h := hashOf(Scram256)
	salted, err := pbkdf2.Key(h, "pencil", salt, 4096, 32)
	if err != nil {
		t.Fatal(err)
	}
	without := "c=" + base64.StdEncoding.EncodeToString([]byte(channel)) + "," + nonce(parts[0])
	key := keyed(h, salted, "Client Key")
	stored, _ := Keys(Scram256, salted)
	signature := keyed(h, stored, first[strings.Index(first, "n="):]+","+challenge+","+without)
	for i := range key {
		key[i] ^= signature[i]
	}
	return []byte(without + ",p=" + base64.StdEncoding.EncodeToString(key))
}

// A proof counts for its own exchange alone, and for the header that it was begun with.
func TestProofsThatAreRefused(t *testing.T) {
	same := func(nonce string) string { return nonce }
	for name, test := range map[string]struct {
		header, channel string
		nonce           func(string) string
		fine            bool
	}{
		"as it should be":       {"n,,", "n,,", same, true},
		"y":                     {"y,,", "y,,", same, true},
		"a name":                {"n,a=alice,", "n,a=alice,", same, true},
		"y became n":            {"n,,", "y,,", same, false},
		"without the name":      {"n,a=alice,", "n,,", same, true},
		"y for n":               {"n,a=alice,", "y,,", same, false},
		"no channel":            {"n,,", "", same, false},
		"the client's nonce":    {"n,,", "n,,", func(string) string { return "r=abc" }, false},
		"it twice (librdkafka)": {"n,,", "n,,", func(n string) string { return "r=abc" + n[len("r="):] }, false},
		"a longer nonce":        {"n,,", "n,,", func(n string) string { return n + "x" }, false},
		"another nonce":         {"n,,", "n,,", func(string) string { return "r=abcdefghijklmnopqrstuvwxyz" }, false},
		"an extension in it":    {"n,,", "n,,", func(n string) string { return n + ",x=y" }, true},
		"something else in it":  {"n,,", "n,,", func(n string) string { return n + ",xy" }, false},
	} {
		a := NewScram(Scram256, someUsers(t))
		e := a.Begin(sdk.Peer{})
		first := test.header + "n=alice,r=abc"
		challenge, _, err := e.Step(context.Background(), []byte(first))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		_, who, err := e.Step(context.Background(), proofOf(t, first, string(challenge), test.channel, test.nonce))
		if (err == nil && who != nil) != test.fine {
			t.Errorf("%s: %v", name, err)
		}
		if twice := strings.Contains(name, "twice"); twice != errors.Is(err, errTwice) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestFirstMessagesThatAreRefused(t *testing.T) {
	for name, message := range map[string]string{
		"empty": "", "no commas": "n", "one comma": "n,", "nothing behind": "n,,", "a channel": "p=tls-unique,,n=u,r=x", "other flag": "x,,n=u,r=x",
		"no name": "n,,n=,r=x", "no nonce": "n,,n=u,r=", "name last": "n,,r=x,n=u", "must be understood": "n,,m=x,n=u,r=x", "escape": "n,,n=a=2c,r=x",
		"escape cut": "n,,n=a=2,r=x", "empty id": "n,a=,n=u,r=x", "other id": "n,b=u,n=u,r=x", "not UTF-8": "n,,n=\xff,r=x", "zero": "n,,n=a\x00b,r=x",
		"blank in nonce": "n,,n=u,r=x y", "no extension": "n,,n=u,r=x,y", "numbered": "n,,n=u,r=x,1=2", "token": "n,,n=u,r=x,tokenauth=true",
	} {
		if f, err := parseClientFirst([]byte(message)); err == nil {
			t.Errorf("%s: read as %+v", name, f)
		}
	}
	for name, message := range map[string]string{
		"empty": "", "no proof": "c=biws,r=x", "no nonce": "c=biws,p=AA==", "other order": "r=x,c=biws,p=AA==", "no base64": "c=biws,r=x,p=!", "behind it": "c=biws,r=x,p=AA==,x=y",
		"padding": "c=biws,r=x,p=AB==", "no channel": "c=,r=x,p=AA==",
	} {
		if f, err := parseClientFinal([]byte(message)); err == nil {
			t.Errorf("%s: read as %+v", name, f)
		}
	}
}

// FuzzClientFirst reads any bytes. What is read must say again what was read.
func FuzzClientFirst(f *testing.F) {
	f.Add([]byte("n,,n=user,r=rOprNGfwEbeRWgbNEkqO"))
	f.Add([]byte("y,a=a=2Cb,n=a=2Cb,r=x,ext=1"))
	f.Add([]byte("p=tls-unique,,n=u,r=x"))
	escape := strings.NewReplacer("=", "=3D", ",", "=2C")
	fuzz.Run(f, func(t *testing.T, message []byte) {
		m, err := parseClientFirst(message)
		if err != nil {
			return
		}
		if m.header+m.bare != string(message) {
			t.Fatalf("%q was cut into %q and %q", message, m.header, m.bare)
		}
		if want := "n=" + escape.Replace(m.user) + ",r=" + m.nonce; !strings.HasPrefix(m.bare, want) || m.user == "" || m.nonce == "" {
			t.Fatalf("%q was read as %+v", message, m)
		}
	})
}

// FuzzClientFinal reads any bytes. What is read must say again what was read.
func FuzzClientFinal(f *testing.F) {
	f.Add([]byte("c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="))
	f.Add([]byte("c=biws,r=x,e=1,p=AA=="))
	fuzz.Run(f, func(t *testing.T, message []byte) {
		m, err := parseClientFinal(message)
		if err != nil {
			return
		}
		if again := m.withoutProof + ",p=" + base64.StdEncoding.EncodeToString(m.proof); again != string(message) {
			t.Fatalf("%q was read as %+v", message, m)
		}
		if !strings.HasPrefix(m.withoutProof, "c="+m.channel+",r="+m.nonce) {
			t.Fatalf("%q was read as %+v", message, m)
		}
	})
}

// FuzzScram sends two arbitrary messages. Whoever does not know the password has no proof.
func FuzzScram(f *testing.F) {
	c := someUsers(f)
	f.Add([]byte("n,,n=alice,r=x"), []byte("c=biws,r=x,p=AA=="))
	fuzz.Run(f, func(t *testing.T, first, second []byte) {
		e := NewScram(Scram256, c).Begin(sdk.Peer{})
		for _, message := range [][]byte{first, second} {
			if _, who, err := e.Step(context.Background(), message); who != nil {
				t.Fatalf("%q is a proof", message)
			} else if err != nil {
				return
			}
		}
	})
}

func TestPlain(t *testing.T) {
	a := NewPlain(map[string]string{"alice": "hush", "bob": "p\u00e4ss"})
	for message, want := range map[string]string{
		"\x00alice\x00hush":             "",
		"alice\x00alice\x00hush":        "",
		"\x00bob\x00p\u00e4ss":          "",
		"bob\x00alice\x00hush":          "Authentication failed: Client requested an authorization id that is different from username",
		"bob\x00alice\x00wrong":         "Authentication failed: Invalid username or password",
		"\x00alice\x00hush ":            "Authentication failed: Invalid username or password",
		"\x00alice\x00" + "hus":         "Authentication failed: Invalid username or password",
		"\x00carol\x00hush":             "Authentication failed: Invalid username or password",
		"\x00alice\x00":                 "Authentication failed: password not specified",
		"\x00\x00hush":                  "Authentication failed: username not specified",
		"":                              "?",
		"alice hush":                    "?",
		"\x00alice\x00hush\x00":         "?",
		strings.Repeat("\x00", 1000):    "?",
		"\x00" + strings.Repeat("a", 9): "?",
	} {
		_, who, err := a.Begin(sdk.Peer{}).Step(context.Background(), []byte(message))
		denied, ok := errors.AsType[*sdk.Denial](err)
		switch {
		case want == "" && (err != nil || who == nil || !bytes.Contains([]byte(message), []byte(who.Principal.Name))):
			t.Errorf("%q: %v", message, err)
		case want == "?" && (err == nil || ok || strings.Contains(err.Error(), "hush")):
			t.Errorf("%q: %v", message, err)
		case want != "" && want != "?" && (!ok || denied.Reason != want || who != nil):
			t.Errorf("%q: %v, want %s", message, err, want)
		}
	}
}

// FuzzPlain reads any bytes: there are two passwords that are right.
func FuzzPlain(f *testing.F) {
	a := NewPlain(map[string]string{"alice": "hush"})
	f.Add([]byte("\x00alice\x00hush"))
	f.Add([]byte("a\x00b\x00c"))
	fuzz.Run(f, func(t *testing.T, message []byte) {
		_, who, err := a.Begin(sdk.Peer{}).Step(context.Background(), message)
		right := string(message) == "\x00alice\x00hush" || string(message) == "alice\x00alice\x00hush"
		if right != (err == nil) || right != (who != nil) {
			t.Fatalf("%q: %v", message, err)
		}
		if err != nil && strings.Contains(err.Error(), "hush") {
			t.Fatal(fmt.Sprint("a password is in an error: ", err))
		}
	})
}
