package engine

import (
	"errors"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// What a plugin that lets clients in goes by stands in the file: nothing that was set while a broker
// ran counts, and nothing can be set while the plugin is in use.
func TestSettingsOfAuthenticatorsComeFromTheFile(t *testing.T) {
	onlyOurs(t)
	folder := t.TempDir()
	word := "salami"
	alter := func(b *Broker) error {
		admin := kadm.NewClient(client(t, b, kgo.SeedBrokers(b.Addresses()[0])))
		answers, err := admin.AlterBrokerConfigs(limited(t), []kadm.AlterConfig{{Name: "plugin.guard.config.word", Value: &word}})
		if err != nil {
			t.Fatal(err)
		}
		return answers[0].Err
	}
	b, err := begin(folder)
	if err != nil {
		t.Fatal(err)
	}
	if err := alter(b); err != nil {
		t.Fatalf("while it is no authenticator's: %v", err)
	}
	stop(t, b)
	b = start(t, folder, "listeners=PLAINTEXT://127.0.0.1:0,SASL_PLAINTEXT://127.0.0.1:0", "sasl.enabled.mechanisms=BADGE", "authenticators=guard",
		"plugin.guard.type=badge", "plugin.guard.config.word=sesame", "connection.failed.authentication.delay.ms=0")
	for shown, outcome := range map[string]*kerr.Error{"sesame": nil, "salami": kerr.SaslAuthenticationFailed} {
		p := stranger(t, b)
		want(t, "handshake", ask[*kmsg.SASLHandshakeResponse](p, 1, handshake("BADGE")).ErrorCode, nil)
		want(t, shown, ask[*kmsg.SASLAuthenticateResponse](p, 1, proofToken(shown)).ErrorCode, outcome)
	}
	word = "other"
	if err := alter(b); !errors.Is(err, kerr.InvalidRequest) {
		t.Fatalf("while it is an authenticator's: %v", err)
	}
}
