package client

import (
	"errors"
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/sasl"
	plainly "github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/millrace/millrace/sdk/jaas"
	"github.com/millrace/millrace/sdk/setting"
)

// saslPlaintext is the protocol of brokers that ask who a client is.
const saslPlaintext = "SASL_PLAINTEXT"

// proof is how the client proves who it is; nil when brokers do not ask. No error shows a password.
func proof(v *setting.Values) (sasl.Mechanism, error) {
	if !strings.EqualFold(SecurityProtocol.Of(v), saslPlaintext) {
		return nil, nil
	}
	login, err := jaas.One(SaslLogin.Of(v))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", SaslLogin.Name, err)
	}
	user, password := login.Options["username"], login.Options["password"]
	if user == "" || password == "" {
		return nil, errors.New(SaslLogin.Name + `: it has no username="…" or no password="…"`)
	}
	switch mechanism := SaslMechanism.Of(v); mechanism {
	case "PLAIN":
		return plainly.Auth{User: user, Pass: password}.AsMechanism(), nil
	case "SCRAM-SHA-256":
		return scram.Auth{User: user, Pass: password}.AsSha256Mechanism(), nil
	case "SCRAM-SHA-512":
		return scram.Auth{User: user, Pass: password}.AsSha512Mechanism(), nil
	default:
		return nil, fmt.Errorf("%s=%s: this client has PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512", SaslMechanism.Name, mechanism)
	}
}
