package config_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/config"
)

const plainLogin = `org.apache.kafka.common.security.plain.PlainLoginModule required username="admin" password="hush" user_admin="hush" user_alice="hush-too";`

func sasl(lines ...string) string {
	return strings.Join(append([]string{"listeners=PLAINTEXT://127.0.0.1:9092,INSIDE://127.0.0.1:9093,OUTSIDE://127.0.0.1:9094",
		"listener.security.protocol.map=PLAINTEXT:PLAINTEXT,INSIDE:SASL_PLAINTEXT,OUTSIDE:SASL_PLAINTEXT"}, lines...), "\n")
}

func TestMechanismsOfListeners(t *testing.T) {
	b, err := config.Parse("f", sasl(
		"sasl.enabled.mechanisms=SCRAM-SHA-512, PLAIN", "sasl.jaas.config="+plainLogin, "connections.max.reauth.ms=60000",
		"listener.name.outside.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256",
		`listener.name.outside.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_bob="x";`,
		"listener.name.outside.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;",
		"listener.name.outside.connections.max.reauth.ms=5", "listener.name.outside.plain.connections.max.reauth.ms=-7",
	), nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(b.Warnings) > 0 {
		t.Errorf("warnings: %s", b.Warnings)
	}
	var got []string
	for _, name := range []string{"PLAINTEXT", "INSIDE", "OUTSIDE"} {
		for _, m := range b.Mechanisms[name] {
			var users []string
			for user := range m.Users {
				users = append(users, user)
			}
			slices.Sort(users)
			got = append(got, fmt.Sprint(name, " ", m.Name, " ", users, " ", m.MaxReauth))
		}
	}
	want := []string{"INSIDE SCRAM-SHA-512 [] 1m0s", "INSIDE PLAIN [admin alice] 1m0s", "OUTSIDE PLAIN [bob] 0s", "OUTSIDE SCRAM-SHA-256 [] 5ms"}
	if !slices.Equal(got, want) {
		t.Fatalf("%q\nwant %q", got, want)
	}
	if b.Mechanisms["INSIDE"][1].Users["alice"] != "hush-too" || b.Mechanisms["OUTSIDE"][1].MaxReauth != 5*time.Millisecond {
		t.Fatal("a user has another's password, or a listener another's time")
	}
	if text := fmt.Sprintf("%v %+v %#v", b.Mechanisms, b.Mechanisms, b.Mechanisms); strings.Contains(text, "hush") {
		t.Fatalf("passwords are printed: %s", text)
	}
}

// What is wrong is said, and no password with it.
func TestMechanismsThatAreRefused(t *testing.T) {
	for name, test := range map[string]struct{ line, want string }{
		"the default":  {"", "sasl.enabled.mechanisms: listener INSIDE cannot have GSSAPI; there are PLAIN, SCRAM-SHA-256, SCRAM-SHA-512"},
		"none":         {"listener.name.inside.sasl.enabled.mechanisms=", "listener.name.inside.sasl.enabled.mechanisms: listener INSIDE has no mechanism"},
		"lower case":   {"sasl.enabled.mechanisms=plain", "listener INSIDE cannot have plain"},
		"no semicolon": {"sasl.enabled.mechanisms=PLAIN\nsasl.jaas.config=" + strings.TrimSuffix(plainLogin, ";"), "the login does not end with a semicolon"},
		"no user": {"sasl.enabled.mechanisms=PLAIN\nsasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required username=\"hush\" password=\"hush\";",
			"sasl.jaas.config: there is no user"},
		"no password":  {"sasl.enabled.mechanisms=PLAIN\nsasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_hush=\"\";", "lacks its name or its password"},
		"other module": {"sasl.enabled.mechanisms=PLAIN\nsasl.jaas.config=hush.LoginModule required user_a=\"hush\";", "PLAIN needs the login module org.apache"},
		"of a listener": {"sasl.enabled.mechanisms=SCRAM-SHA-256\nlistener.name.inside.scram-sha-256.sasl.jaas.config=hush",
			"listener.name.inside.scram-sha-256.sasl.jaas.config: character 5: behind the login module"},
		"no listener": {"sasl.enabled.mechanisms=SCRAM-SHA-256\nlistener.name.external.sasl.enabled.mechanisms=PLAIN",
			"listener.name.external.sasl.enabled.mechanisms: there is no such listener; there are INSIDE, OUTSIDE, PLAINTEXT,"},
		"a listener in capitals": {"sasl.enabled.mechanisms=SCRAM-SHA-256\nlistener.name.INSIDE.plain.sasl.jaas.config=hush", "listener.name.INSIDE.plain.sasl.jaas.config: there is no such listener; there are INSIDE, "},
		"a mechanism in capitals": {"sasl.enabled.mechanisms=SCRAM-SHA-256\nlistener.name.inside.PLAIN.connections.max.reauth.ms=1",
			"listener.name.inside.PLAIN.connections.max.reauth.ms: listeners and mechanisms are written in small letters"},
		"no number": {"sasl.enabled.mechanisms=SCRAM-SHA-256\nlistener.name.inside.connections.max.reauth.ms=soon", "listener.name.inside.connections.max.reauth.ms=soon: Not a number"},
	} {
		_, err := config.Parse("f", sasl(test.line), nil)
		if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: %v\nwant %s", name, err, test.want)
		}
	}
}

func TestAnUnencryptedListenerIsWarnedOf(t *testing.T) {
	b, err := config.Parse("f", "listeners=SASL_PLAINTEXT://0.0.0.0:9092\nsasl.enabled.mechanisms=SCRAM-SHA-256", nil)
	if err != nil || len(b.Warnings) != 1 || !strings.Contains(b.Warnings[0], "SASL_PLAINTEXT://0.0.0.0:9092 is not encrypted") {
		t.Fatalf("%v %q", err, b.Warnings)
	}
	if _, err := config.Parse("f", "listeners=SASL_SSL://127.0.0.1:9092\nsasl.enabled.mechanisms=SCRAM-SHA-256", nil); err == nil || !strings.Contains(err.Error(), "SASL_SSL cannot be served, there is no TLS yet") {
		t.Fatal(err)
	}
}

// DescribeConfigs lists what was given, and no password.
func TestLoginsAreNotDescribed(t *testing.T) {
	b, err := config.Parse("f", sasl("sasl.enabled.mechanisms=PLAIN", "sasl.jaas.config="+plainLogin,
		"listener.name.inside.plain.sasl.jaas.config="+plainLogin, "listener.name.inside.sasl.enabled.mechanisms=PLAIN", "plugin.ldap.config.bind.credentials=hush"), nil)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, e := range config.DescribeBroker(b.Values, nil) {
		if text := fmt.Sprintf("%+v", e); strings.Contains(text, "hush") || e.Value != nil && strings.Contains(*e.Value, "hush") {
			t.Errorf("%s is shown", e.Name)
		}
		for _, s := range e.Synonyms {
			if s.Value != nil && strings.Contains(*s.Value, "hush") {
				t.Errorf("%s is shown as a synonym", e.Name)
			}
		}
		seen[e.Name] = e.Sensitive
	}
	for name, hidden := range map[string]bool{"sasl.jaas.config": true, "listener.name.inside.plain.sasl.jaas.config": true,
		"listener.name.inside.sasl.enabled.mechanisms": false, "plugin.ldap.config.bind.credentials": true} {
		if is, ok := seen[name]; !ok || is != hidden {
			t.Errorf("%s: listed %v, sensitive %v", name, ok, is)
		}
	}
}
