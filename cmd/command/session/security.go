package session

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/millrace/millrace/sdk/jaas"
)

// securityOptions reads security.protocol and what belongs to it.
func securityOptions(p Properties) ([]kgo.Opt, error) {
	protocol := strings.ToUpper(p["security.protocol"])
	var options []kgo.Opt
	switch protocol {
	case "", "PLAINTEXT", "SASL_PLAINTEXT":
	case "SSL", "SASL_SSL":
		config, err := tlsConfig(p)
		if err != nil {
			return nil, err
		}
		options = append(options, kgo.DialTLSConfig(config))
	default:
		return nil, fmt.Errorf("security.protocol=%s: expected PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL", protocol)
	}
	if strings.HasPrefix(protocol, "SASL_") {
		mechanism, err := saslMechanism(p)
		if err != nil {
			return nil, err
		}
		options = append(options, kgo.SASL(mechanism))
	}
	return options, nil
}

// saslMechanism takes user name and password from sasl.jaas.config, where
// Kafka's users have them.
func saslMechanism(p Properties) (sasl.Mechanism, error) {
	user, pass, err := login(p["sasl.jaas.config"])
	if err != nil {
		return nil, fmt.Errorf("sasl.jaas.config: %w", err)
	}
	switch mechanism := p["sasl.mechanism"]; mechanism {
	case "PLAIN":
		return plain.Auth{User: user, Pass: pass}.AsMechanism(), nil
	case "SCRAM-SHA-256":
		return scram.Auth{User: user, Pass: pass}.AsSha256Mechanism(), nil
	case "SCRAM-SHA-512":
		return scram.Auth{User: user, Pass: pass}.AsSha512Mechanism(), nil
	default:
		return nil, fmt.Errorf("sasl.mechanism=%s: expected PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512", mechanism)
	}
}

// login reads who somebody is, and how they prove it.
func login(text string) (user, password string, err error) {
	l, err := jaas.One(text)
	if err != nil {
		return "", "", err
	}
	if l.Options["username"] == "" || l.Options["password"] == "" {
		return "", "", errors.New("it has no username=\"…\" or no password=\"…\"")
	}
	return l.Options["username"], l.Options["password"], nil
}

// tlsConfig reads PEM stores, from files or given in place.
func tlsConfig(p Properties) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	for _, store := range []string{"truststore", "keystore"} {
		kind := strings.ToUpper(p["ssl."+store+".type"])
		if p["ssl."+store+".location"] != "" && kind != "PEM" {
			return nil, fmt.Errorf("ssl.%s.type=%s: only PEM stores can be read; keytool and openssl convert others", store, kind)
		}
	}
	trusted, err := pemText(p, "ssl.truststore.certificates", "ssl.truststore.location")
	if err != nil {
		return nil, err
	}
	if trusted != nil {
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(trusted) {
			return nil, fmt.Errorf("ssl.truststore: no certificate in PEM form found")
		}
	}
	chain, err := pemText(p, "ssl.keystore.certificate.chain", "ssl.keystore.location")
	if err != nil || chain == nil {
		return withoutHostCheck(p, config), err
	}
	key := chain // one PEM file may hold both
	if given := p["ssl.keystore.key"]; given != "" {
		key = []byte(given)
	}
	pair, err := tls.X509KeyPair(chain, key)
	if err != nil {
		return nil, fmt.Errorf("ssl.keystore: %w", err)
	}
	config.Certificates = []tls.Certificate{pair}
	return withoutHostCheck(p, config), nil
}

// withoutHostCheck honours an empty ssl.endpoint.identification.algorithm: the
// chain is still verified, the host name is not.
func withoutHostCheck(p Properties, config *tls.Config) *tls.Config {
	if algorithm, ok := p["ssl.endpoint.identification.algorithm"]; !ok || algorithm != "" {
		return config
	}
	roots := config.RootCAs
	config.InsecureSkipVerify = true // VerifyConnection below does the rest
	config.VerifyConnection = func(state tls.ConnectionState) error {
		chain := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool()}
		for _, certificate := range state.PeerCertificates[1:] {
			chain.Intermediates.AddCert(certificate)
		}
		_, err := state.PeerCertificates[0].Verify(chain)
		return err
	}
	return config
}

// pemText is the text of a store: given in place, or else in a file; nil: neither.
func pemText(p Properties, inPlace, file string) ([]byte, error) {
	if text := p[inPlace]; text != "" {
		return []byte(text), nil
	}
	if p[file] == "" {
		return nil, nil
	}
	text, err := os.ReadFile(p[file])
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return text, nil
}
