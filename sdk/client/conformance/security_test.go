package conformance

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace/millrace/sdk/client"
)

// asking is a broker that asks who its clients are.
func asking(t *testing.T, overrides ...string) string {
	t.Helper()
	if os.Getenv(brokerVariable) != "" {
		t.Skip("needs settings of its own")
	}
	return serving(t, append([]string{"listeners=SASL_PLAINTEXT://127.0.0.1:0", "sasl.enabled.mechanisms=PLAIN",
		`sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_alice="hush";`}, overrides...)...)
}

func signedIn(address, engine, password string) client.Config {
	return client.Config{"bootstrap.servers": address, "client.engine": engine, "security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN",
		"sasl.jaas.config": fmt.Sprintf(`org.apache.kafka.common.security.plain.PlainLoginModule required username="alice" password="%s";`, password)}
}

// sent sends one record and waits for it.
func sent(t *testing.T, p *client.Producer[string, string]) error {
	t.Helper()
	_, err := p.Send(t.Context(), &client.ProducerRecord[string, string]{Topic: "secured", Value: "x"}).Get(t.Context())
	return err
}

func TestProducersProveWhoTheyAre(t *testing.T) {
	address := asking(t)
	engines(t, func(t *testing.T, engine string) {
		for password, fine := range map[string]bool{"hush": true, "wrong": false} {
			p, err := client.NewProducer[string, string](signedIn(address, engine, password), client.ProducerOptions[string, string]{})
			if err != nil {
				t.Fatal(err)
			}
			begin := time.Now()
			err = sent(t, p)
			if fine && err != nil || !fine && !errors.Is(err, kerr.SaslAuthenticationFailed) {
				t.Errorf("with the password %s: %v", password, err)
			}
			if took := time.Since(begin); took > 30*time.Second {
				t.Errorf("it took %v to hear so", took)
			}
			if err != nil && strings.Contains(err.Error(), "wrong") {
				t.Errorf("a password is in an error: %v", err)
			}
			p.Close(t.Context()) //nolint:errcheck // what failed was told before
		}
	})
}

// A broker that wants it proved anew is served on, and no record fails for it.
func TestProducersProveItAnew(t *testing.T) {
	address := asking(t, "connections.max.reauth.ms=2500")
	engines(t, func(t *testing.T, engine string) {
		p, err := client.NewProducer[string, string](signedIn(address, engine, "hush"), client.ProducerOptions[string, string]{})
		if err != nil {
			t.Fatal(err)
		}
		for begin := time.Now(); time.Since(begin) < 4*time.Second; {
			if err := sent(t, p); err != nil {
				t.Fatal(err)
			}
		}
		if err := p.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}
