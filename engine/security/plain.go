package security

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"

	"github.com/millrace/millrace/sdk"
)

// Plain is the name of the mechanism by which a client tells its password (RFC 4616).
const Plain = "PLAIN"

// plain knows the passwords of all users, by their hashes.
type plain map[string][sha256.Size]byte

// NewPlain makes PLAIN for users and their passwords.
func NewPlain(users map[string]string) sdk.Authenticator {
	p := plain{}
	for user, password := range users {
		p[user] = sha256.Sum256([]byte(password))
	}
	return p
}

// Mechanism is sdk.Authenticator's.
func (plain) Mechanism() string { return Plain }

// Begin is sdk.Authenticator's.
func (p plain) Begin(sdk.Peer) sdk.Exchange { return p }

// Step is sdk.Exchange's: there is one message.
func (p plain) Step(_ context.Context, message []byte) ([]byte, *sdk.Identity, error) {
	authorization, user, password, err := parsePlain(message)
	if err != nil {
		return nil, nil, err
	}
	// What is compared has one length, and takes the same time for users that do not exist.
	expected, known := p[user]
	given := sha256.Sum256([]byte(password))
	same := subtle.ConstantTimeCompare(given[:], expected[:]) == 1
	switch {
	case user == "":
		return nil, nil, sdk.Deny("Authentication failed: username not specified")
	case password == "":
		return nil, nil, sdk.Deny("Authentication failed: password not specified")
	case !known || !same:
		return nil, nil, sdk.Deny("Authentication failed: Invalid username or password")
	case authorization != "" && authorization != user:
		return nil, nil, errOtherIdentity
	}
	return nil, &sdk.Identity{Principal: sdk.Principal{Type: "User", Name: user}}, nil
}

// errOtherIdentity refuses who wants to be somebody else than whose password it has.
var errOtherIdentity = sdk.Deny("Authentication failed: Client requested an authorization id that is different from username")

// parsePlain reads the three parts of a message.
func parsePlain(message []byte) (authorization, user, password string, err error) {
	parts := bytes.Split(message, []byte{0})
	if len(parts) != 3 {
		return "", "", "", fmt.Errorf("a message of PLAIN has three parts, not %d", len(parts))
	}
	return string(parts[0]), string(parts[1]), string(parts[2]), nil
}
