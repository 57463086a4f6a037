package security_test

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/millrace/millrace/sdk"
)

func init() { sdk.Authenticators.Register("door", NewDoor) }

// door has a web service look at names and passwords.
type door struct{ url string }

// NewDoor makes one of its settings.
func NewDoor(c sdk.Config) (sdk.Authenticator, error) {
	d := &door{c.String("url", "")}
	if d.url == "" {
		c.Wrong("url", "it is missing")
	}
	return d, nil
}

// Mechanism says that this one takes the place of PLAIN.
func (*door) Mechanism() string { return "PLAIN" }

// Begin has nothing to remember: there is one message.
func (d *door) Begin(sdk.Peer) sdk.Exchange { return d }

// Step asks the service. It may wait for it, until ctx ends.
func (d *door) Step(ctx context.Context, message []byte) ([]byte, *sdk.Identity, error) {
	parts := strings.Split(string(message), "\x00") // whose rights, who, password
	if len(parts) != 3 {
		return nil, nil, errors.New("not a message of PLAIN")
	}
	ask, err := http.NewRequestWithContext(ctx, http.MethodGet, d.url, nil)
	if err != nil {
		return nil, nil, err
	}
	ask.SetBasicAuth(parts[1], parts[2])
	answer, err := http.DefaultClient.Do(ask)
	if err != nil {
		return nil, nil, err // logged; the client hears that its credentials are invalid
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, nil, sdk.Deny("Authentication failed: Invalid username or password")
	}
	return nil, &sdk.Identity{Principal: sdk.Principal{Type: "User", Name: parts[1]}}, nil
}
