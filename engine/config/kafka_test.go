package config_test

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/millrace/millrace/engine/config"
	"github.com/millrace/millrace/sdk/setting"
)

// Settings that Kafka can change while it runs and we cannot: they size what is made at
// the start, or would put passwords into the metadata log.
var fixedHere = map[string]bool{
	"listeners": true, "listener.security.protocol.map": true, "max.connections": true, "max.connections.per.ip": true,
	"max.connections.per.ip.overrides": true, "num.io.threads": true, "num.network.threads": true, "num.recovery.threads.per.data.dir": true,
	"sasl.enabled.mechanisms": true, "sasl.jaas.config": true,
}

type kafkaKey struct{ kind, name, kafkaType, value, limits, mode string }

func kafkaKeys(t *testing.T) []kafkaKey {
	t.Helper()
	text, err := os.ReadFile("testdata/kafka-4.3.1.tsv")
	if err != nil {
		t.Fatal(err)
	}
	var keys []kafkaKey
	for line := range strings.Lines(string(text)) {
		if f := strings.Split(strings.TrimSuffix(line, "\n"), "\t"); !strings.HasPrefix(line, "#") {
			keys = append(keys, kafkaKey{f[0], f[1], f[2], f[3], f[4], f[5]})
		}
	}
	if len(keys) < 390 {
		t.Fatalf("only %d keys of Kafka", len(keys))
	}
	return keys
}

// Every key of Kafka is known, with Kafka's type, default, limits and way to change.
func TestDeclarationsAreKafkas(t *testing.T) {
	plain := config.Settings.Resolve()
	for _, k := range kafkaKeys(t) {
		d := config.Settings.Lookup(k.name)
		if k.kind == "topic" {
			d = config.Settings.LookupTopic(k.name)
		}
		if d == nil {
			t.Errorf("%s %s is not declared", k.kind, k.name)
			continue
		}
		for _, complaint := range differences(plain, d, k) {
			t.Errorf("%s %s: %s", k.kind, k.name, complaint)
		}
	}
}

var kafkaLimits = regexp.MustCompile(`^\[(-?\d+),\.\.\.(?:,(\d+))?\]$`)

func differences(plain *setting.Values, d *setting.Declaration, k kafkaKey) (all []string) {
	complain := func(what, ours, theirs string) {
		if ours != theirs {
			all = append(all, fmt.Sprintf("%s is %q, Kafka's %q", what, ours, theirs))
		}
	}
	complain("type", d.Type.String(), k.kafkaType)
	value := d.Default
	if k.kind == "topic" {
		value, _ = plain.Text(d) // a synonym may give it
	}
	theirs := strings.Replace(k.value, "<null>", "", 1)
	switch {
	case d.Kafka == "" || k.kind == "topic":
		complain("default", value, theirs)
	case value == theirs && !d.Null:
		all = append(all, "says that Kafka's default differs, and it does not")
	}
	if m := kafkaLimits.FindStringSubmatch(k.limits); m != nil && k.kafkaType != "DOUBLE" {
		want := "at least " + m[1]
		if m[2] != "" {
			want = m[1] + " to " + m[2]
		}
		complain("allowed", d.Allowed, want)
	}
	switch {
	case k.kind == "topic":
	case fixedHere[k.name]:
		complain("way to change", d.Dynamic.String(), "read-only")
	default:
		complain("way to change", d.Dynamic.String(), k.mode)
	}
	return all
}

// The comparison above must be able to fail.
func TestDifferencesAreSeen(t *testing.T) {
	plain := config.Settings.Resolve()
	d := config.Settings.Lookup("num.partitions")
	right := kafkaKey{"broker", "num.partitions", "INT", "1", "[1,...]", "read-only"}
	if got := differences(plain, d, right); len(got) != 0 {
		t.Fatalf("complains about nothing: %v", got)
	}
	for name, change := range map[string]func(*kafkaKey){
		"type":    func(k *kafkaKey) { k.kafkaType = "LONG" },
		"default": func(k *kafkaKey) { k.value = "2" },
		"limits":  func(k *kafkaKey) { k.limits = "[0,...]" },
		"mode":    func(k *kafkaKey) { k.mode = "per-broker" },
	} {
		wrong := right
		change(&wrong)
		if got := differences(plain, d, wrong); len(got) != 1 {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestSynonymsAreDeclared(t *testing.T) {
	if err := config.Settings.Check(); err != nil {
		t.Fatal(err)
	}
}

func TestDocsAreSentences(t *testing.T) {
	for _, d := range config.Settings.All() {
		if !strings.HasSuffix(d.Doc, ".") || strings.HasSuffix(d.Note, ".") {
			t.Errorf("%s%s: the doc must end with a stop and the note without: %q %q", d.Name, d.Topic, d.Doc, d.Note)
		}
	}
}
