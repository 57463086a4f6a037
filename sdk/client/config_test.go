package client

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/sdk/setting"
)

var anyRole = role{name: "producer", sections: []*setting.Section{Common}}

func TestEveryKeyIsDeclaredWell(t *testing.T) {
	if err := Keys.Check(); err != nil {
		t.Error(err)
	}
}

func TestSettingsAreChecked(t *testing.T) {
	for name, test := range map[string]struct {
		config  Config
		refused string // what the error says; "": none
		warned  string // what is logged; "": nothing
	}{
		"right":              {Config{"bootstrap.servers": "a:1, b:2", "client.id": "x"}, "", ""},
		"no broker":          {Config{}, "bootstrap.servers is missing", ""},
		"broker, no port":    {Config{"bootstrap.servers": "a"}, "each must be of the form host:port", ""},
		"a slip":             {Config{"bootstrap.servers": "a:1", "client.idd": "x"}, "", "did you mean client.id?"},
		"not a number":       {Config{"bootstrap.servers": "a:1", "retry.backoff.ms": "soon"}, "retry.backoff.ms=soon: Not a number of type LONG", ""},
		"TLS":                {Config{"bootstrap.servers": "a:1", "security.protocol": "SSL"}, "security.protocol=SSL: there is no TLS in this client yet", ""},
		"TLS and a proof":    {Config{"bootstrap.servers": "a:1", "security.protocol": "sasl_ssl"}, "there is no TLS in this client yet", ""},
		"no protocol at all": {Config{"bootstrap.servers": "a:1", "security.protocol": "TLS"}, "String must be one of (case insensitive): PLAINTEXT, SASL_PLAINTEXT", ""},
		"a proof":            {signedIn("PLAIN", `x required username="a" password="hush";`), "", ""},
		"in small letters":   {signedIn("SCRAM-SHA-256", `x required username="a" password="hush";`).With("security.protocol", "sasl_plaintext"), "", ""},
		"no mechanism":       {signedIn("", `x required username="a" password="hush";`), "sasl.mechanism=: this client has PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512", ""},
		"no login":           {signedIn("PLAIN", ""), "sasl.jaas.config: there is no login module", ""},
		"a bad login":        {signedIn("PLAIN", `x required username="a" password="hush"`), "the login does not end with a semicolon", ""},
		"no password":        {signedIn("PLAIN", `x required username="a";`), "it has no username=", ""},
		"other SASL":         {Config{"bootstrap.servers": "a:1", "sasl.kerberos.service.name": "k"}, "", "of SASL this client knows"},
		"plaintext, said":    {Config{"bootstrap.servers": "a:1", "security.protocol": "PLAINTEXT"}, "", ""},
		"of TLS":             {Config{"bootstrap.servers": "a:1", "ssl.keystore.location": "k"}, "", "there is no TLS in this client"},
		"Java's metrics":     {Config{"bootstrap.servers": "a:1", "metric.reporters": "com.Example"}, "", "counts nothing by itself"},
		"a plugin's setting": {Config{"bootstrap.servers": "a:1", "plugin.mask.config.fields": "card"}, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			s, err := test.config.resolve(anyRole, slog.New(slog.NewTextHandler(&log, nil)))
			switch {
			case test.refused == "" && err != nil:
				t.Fatal(err)
			case test.refused != "" && (err == nil || !strings.Contains(err.Error(), test.refused)):
				t.Fatalf("%v, want %q", err, test.refused)
			case test.warned == "" && log.Len() > 0, !strings.Contains(log.String(), test.warned):
				t.Fatalf("logged %q, want %q", log.String(), test.warned)
			}
			if err == nil && len(BootstrapServers.Of(s.Values)) == 0 {
				t.Error("there is no broker")
			}
		})
	}
}

func signedIn(mechanism, login string) Config {
	return Config{"bootstrap.servers": "a:1", "security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": mechanism, "sasl.jaas.config": login}
}

func TestDefaultsOfARoleStandBehindWhatIsGiven(t *testing.T) {
	admin := role{name: "admin", sections: anyRole.sections, defaults: map[string]string{"connections.max.idle.ms": "300000"}}
	c := Config{"bootstrap.servers": "a:1"}
	s, err := c.resolve(admin, nil)
	if err != nil || ConnectionsMaxIdle.Of(s.Values) != 5*time.Minute {
		t.Fatalf("%v, %v", ConnectionsMaxIdle.Of(s.Values), err)
	}
	s, err = c.With("connections.max.idle.ms", "7").resolve(admin, nil)
	if err != nil || ConnectionsMaxIdle.Of(s.Values) != 7*time.Millisecond {
		t.Fatalf("%v, %v", ConnectionsMaxIdle.Of(s.Values), err)
	}
}

func TestSettingsOfAPlugin(t *testing.T) {
	s, err := Config{"bootstrap.servers": "a:1", "plugin.mask.config.fields": "card", "plugin.masks.config.fields": "no"}.resolve(anyRole, nil)
	if err != nil {
		t.Fatal(err)
	}
	c := s.plugin("mask")
	if got := c.String("fields", ""); got != "card" || c.Err() != nil {
		t.Errorf("%q, %v", got, c.Err())
	}
}

func TestConfigOfAFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "client.properties")
	if err := os.WriteFile(file, []byte("# mine\nbootstrap.servers = a:1,\\\n  b:2\nclient.id=one\nclient.id=two\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := ReadConfig(file)
	if err != nil || c["bootstrap.servers"] != "a:1,b:2" || c["client.id"] != "two" {
		t.Errorf("%v, %v", c, err)
	}
	if _, err := ReadConfig(file + "x"); err == nil {
		t.Error("a file that is not there was read")
	}
}

func TestBackoff(t *testing.T) {
	for _, test := range []struct {
		tries  int
		spread float64
		want   time.Duration
	}{
		{1, 0.5, 100 * time.Millisecond}, {2, 0.5, 200 * time.Millisecond}, {3, 0.5, 400 * time.Millisecond},
		{9, 0.5, time.Second}, {1 << 30, 0.5, time.Second}, {1, 0, 80 * time.Millisecond},
	} {
		if got := backoff(100*time.Millisecond, time.Second, test.tries, test.spread); got != test.want {
			t.Errorf("try %d: %v, want %v", test.tries, got, test.want)
		}
	}
}
