package security

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"strings"
	"unicode/utf8"

	"github.com/millrace/millrace/sdk"
)

// The mechanisms by which client and broker prove to each other that they know a password, or what is
// kept of it, without telling it (RFC 5802, RFC 7677).
const (
	Scram256 = "SCRAM-SHA-256"
	Scram512 = "SCRAM-SHA-512"
)

// Credential is what is kept of a user's password.
type Credential struct {
	Salt, StoredKey, ServerKey []byte
	Iterations                 int32
}

// Credentials are those of all users. Any goroutine may ask.
type Credentials interface {
	// Find is the credential of a user by a mechanism.
	Find(mechanism, user string) (Credential, bool)
	// Sample is somebody's credential by a mechanism, mostly the same one for the same number; it
	// reports false when nobody has any.
	Sample(mechanism string, number uint64) (Credential, bool)
}

// scram is one of the two mechanisms.
type scram struct {
	name        string
	hash        func() hash.Hash
	credentials Credentials
	nonce       func() string
	secret      []byte // from which the credentials of users that do not exist are made
}

// NewScram makes SCRAM-SHA-256 or SCRAM-SHA-512.
func NewScram(name string, c Credentials) sdk.Authenticator {
	return &scram{name: name, hash: hashOf(name), credentials: c, nonce: rand.Text, secret: []byte(rand.Text())}
}

func hashOf(mechanism string) func() hash.Hash {
	if mechanism == Scram512 {
		return sha512.New
	}
	return sha256.New
}

// Keys makes what is kept of a password from the salted password that a client sends to set it.
func Keys(mechanism string, salted []byte) (storedKey, serverKey []byte) {
	h := hashOf(mechanism)
	sum := h()
	sum.Write(keyed(h, salted, "Client Key")) // never fails, by its contract
	return sum.Sum(nil), keyed(h, salted, "Server Key")
}

func keyed(h func() hash.Hash, key []byte, text string) []byte {
	mac := hmac.New(h, key)
	mac.Write([]byte(text)) // never fails, by its contract
	return mac.Sum(nil)
}

// Mechanism is sdk.Authenticator's.
func (s *scram) Mechanism() string { return s.name }

// Begin is sdk.Authenticator's.
func (s *scram) Begin(sdk.Peer) sdk.Exchange { return &scramExchange{scram: s} }

// missing is what a user that does not exist has: the same each time, as far as nobody else's
// changes, with a salt and iterations as others have them.
func (s *scram) missing(user string) Credential {
	seed := keyed(s.hash, s.secret, user)
	sample, ok := s.credentials.Sample(s.name, binary.BigEndian.Uint64(seed))
	if !ok {
		sample = Credential{Salt: make([]byte, 26), Iterations: 4096}
	}
	salt := make([]byte, 0, len(sample.Salt)+len(seed))
	for n := 0; len(salt) < len(sample.Salt); n++ {
		salt = append(salt, keyed(s.hash, seed, fmt.Sprint("salt ", n))...)
	}
	return Credential{Salt: salt[:len(sample.Salt)], StoredKey: keyed(s.hash, seed, "stored"), ServerKey: keyed(s.hash, seed, "server"), Iterations: sample.Iterations}
}

// scramExchange is one client: first it says who it is and is told salt and iterations, then it
// proves it.
type scramExchange struct {
	*scram
	first      *clientFirst // nil: it has not said who it is
	nonce      string
	challenge  string
	credential Credential
	known      bool
	ended      bool
}

// Step is sdk.Exchange's.
func (e *scramExchange) Step(_ context.Context, message []byte) ([]byte, *sdk.Identity, error) {
	switch {
	case e.ended:
		return nil, nil, errors.New("there is no third message of SCRAM")
	case e.first == nil:
		answer, err := e.challenged(message)
		return answer, nil, err
	}
	e.ended = true
	return e.prove(message)
}

func (e *scramExchange) challenged(message []byte) ([]byte, error) {
	first, err := parseClientFirst(message)
	if err != nil {
		return nil, err
	}
	if first.authorization != "" && first.authorization != first.user {
		return nil, errOtherIdentity
	}
	e.first, e.nonce = first, first.nonce+e.scram.nonce()
	e.credential = e.missing(first.user) // always, for it takes a while
	if known, ok := e.credentials.Find(e.name, first.user); ok {
		e.credential, e.known = known, true
	}
	e.challenge = fmt.Sprintf("r=%s,s=%s,i=%d", e.nonce, base64.StdEncoding.EncodeToString(e.credential.Salt), e.credential.Iterations)
	return []byte(e.challenge), nil
}

func (e *scramExchange) prove(message []byte) ([]byte, *sdk.Identity, error) {
	final, err := parseClientFinal(message)
	if err != nil {
		return nil, nil, err
	}
	switch {
	case final.nonce == e.first.nonce+e.nonce:
		return nil, nil, errTwice
	case final.nonce != e.nonce: // CVE-2024-56128: else what was overheard can be said again
		return nil, nil, errors.New("the nonce is not the one of this exchange")
	case !e.first.says(final.channel):
		return nil, nil, errors.New("the header of the first message is not what the last one says it was")
	}
	text := e.first.bare + "," + e.challenge + "," + final.withoutProof
	key := keyed(e.hash, e.credential.StoredKey, text)
	if len(final.proof) != len(key) {
		return nil, nil, errors.New("the proof has the wrong length")
	}
	subtle.XORBytes(key, key, final.proof)
	sum := e.hash()
	sum.Write(key) // never fails, by its contract
	if subtle.ConstantTimeCompare(sum.Sum(nil), e.credential.StoredKey) != 1 || !e.known {
		return nil, nil, errors.New("invalid credentials")
	}
	signature := base64.StdEncoding.EncodeToString(keyed(e.hash, e.credential.ServerKey, text))
	return []byte("v=" + signature), &sdk.Identity{Principal: sdk.Principal{Type: "User", Name: e.first.user}}, nil
}

// clientFirst is the first message: "n,,n=user,r=nonce".
type clientFirst struct {
	header                     string // "n,,"
	bare                       string // what follows it
	authorization, user, nonce string
}

// says reports whether the last message repeats the header of the first. Clients that leave out the
// identity in it, which is the user's, say the same (franz-go).
func (f *clientFirst) says(channel string) bool {
	for _, header := range []string{f.header, f.header[:1] + ",,"} {
		if channel == base64.StdEncoding.EncodeToString([]byte(header)) {
			return true
		}
	}
	return false
}

var (
	errTwice   = errors.New("the client says its nonce twice, as librdkafka before 2.6.1 does: neither Kafka 4 nor Millrace takes that, use a newer one, or PLAIN")
	errMessage = errors.New("not a message of SCRAM")
	errChannel = errors.New("there is no channel to bind to")
)

func parseClientFirst(message []byte) (*clientFirst, error) {
	text := string(message)
	if !utf8.ValidString(text) || strings.IndexByte(text, 0) >= 0 {
		return nil, errMessage
	}
	binding, rest, ok := strings.Cut(text, ",")
	authorization, bare, again := strings.Cut(rest, ",")
	switch {
	case !ok || !again:
		return nil, errMessage
	case strings.HasPrefix(binding, "p="):
		return nil, errChannel
	case binding != "n" && binding != "y":
		return nil, errMessage
	}
	f := &clientFirst{header: text[:len(text)-len(bare)], bare: bare}
	if authorization != "" {
		name, ok := strings.CutPrefix(authorization, "a=")
		if f.authorization, again = unescapeName(name); !ok || !again {
			return nil, errMessage
		}
	}
	parts := strings.Split(bare, ",")
	if len(parts) < 2 {
		return nil, errMessage
	}
	name, ok := strings.CutPrefix(parts[0], "n=") // m= would be an extension that must be understood
	nonce, again := strings.CutPrefix(parts[1], "r=")
	user, whole := unescapeName(name)
	if f.user, f.nonce = user, nonce; !ok || !again || !whole || !printable(nonce) {
		return nil, errMessage
	}
	for _, extension := range parts[2:] {
		if !attribute(extension) {
			return nil, errMessage
		}
		if strings.HasPrefix(extension, "tokenauth=") {
			return nil, errors.New("there are no delegation tokens")
		}
	}
	return f, nil
}

// clientFinal is the last message: "c=biws,r=nonce,p=proof".
type clientFinal struct {
	withoutProof   string
	channel, nonce string
	proof          []byte
}

func parseClientFinal(message []byte) (*clientFinal, error) {
	text := string(message)
	at := strings.LastIndex(text, ",p=")
	if at < 0 || !utf8.ValidString(text) || strings.IndexByte(text, 0) >= 0 || strings.ContainsAny(text[at:], "\r\n") { // which base64 passes over
		return nil, errMessage
	}
	f := &clientFinal{withoutProof: text[:at]}
	parts := strings.Split(f.withoutProof, ",")
	if len(parts) < 2 {
		return nil, errMessage
	}
	var ok, again bool
	f.channel, ok = strings.CutPrefix(parts[0], "c=")
	f.nonce, again = strings.CutPrefix(parts[1], "r=")
	var err error
	if f.proof, err = base64.StdEncoding.Strict().DecodeString(text[at+len(",p="):]); err != nil || !ok || !again || f.channel == "" || !printable(f.nonce) {
		return nil, errMessage
	}
	for _, extension := range parts[2:] {
		if !attribute(extension) {
			return nil, errMessage
		}
	}
	return f, nil
}

// attribute reports whether text has the form of an extension: name=value.
func attribute(text string) bool {
	name, value, ok := strings.Cut(text, "=")
	return ok && value != "" && name != "" && strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") == ""
}

// printable reports whether text may be a nonce.
func printable(text string) bool {
	return text != "" && !strings.ContainsFunc(text, func(r rune) bool { return r < 0x21 || r > 0x7e || r == ',' })
}

// unescapeName undoes =2C and =3D, which stand for a comma and an equals sign. Names are not empty.
func unescapeName(text string) (string, bool) {
	var out strings.Builder
	for {
		before, after, more := strings.Cut(text, "=")
		out.WriteString(before)
		switch {
		case !more:
			return out.String(), out.Len() > 0
		case strings.HasPrefix(after, "2C"):
			out.WriteByte(',')
		case strings.HasPrefix(after, "3D"):
			out.WriteByte('=')
		default:
			return "", false
		}
		text = after[2:]
	}
}
