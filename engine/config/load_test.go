package config_test

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/config"
	"github.com/millrace/millrace/engine/fuzz"
)

func TestNoFileServesOnLoopback(t *testing.T) {
	b, err := config.Load("", nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(b.Warnings) > 0 {
		t.Errorf("warnings about nothing: %q", b.Warnings)
	}
	if len(b.Listeners) != 1 || b.Listeners[0].String() != "PLAINTEXT://127.0.0.1:9092" || !b.Listeners[0].Loopback() {
		t.Errorf("listens on %v", b.Listeners)
	}
	if got := config.LogDirs.Of(b.Values); !slices.Equal(got, []string{"./millrace-data"}) {
		t.Errorf("data in %q", got)
	}
	if !config.CommitOnAck(b.Values) {
		t.Error("answers before the disk has it")
	}
	if got := config.GroupInitialDelay.Of(b.Values); got != 3*time.Second {
		t.Errorf("initial rebalance delay %v", got)
	}
	if got := config.RetentionAge.Of(b.Values); got != 168*time.Hour {
		t.Errorf("retention %v", got)
	}
	if got := config.NodeID.Of(b.Values); got != 1 {
		t.Errorf("node %d", got)
	}
}

// Files as Kafka users have them load without an unknown key.
func TestKafkasOwnFiles(t *testing.T) {
	for file, want := range map[string][]string{
		"testdata/kraft.properties": {
			"no effect: inter.broker.listener.name (this broker has no others to talk to yet)",
			"no effect: share.coordinator.state.topic.replication.factor, share.coordinator.state.topic.min.isr (share and streams groups are not there yet)",
			"PLAINTEXT://:9092 has no access control: whoever reaches it may read and write everything",
		},
		"testdata/zookeeper.properties": {
			"no effect: zookeeper.connect (there is no ZooKeeper here: this broker keeps the cluster's metadata in its own log, so the line is not needed and can go)",
			"no effect: zookeeper.connection.timeout.ms (there is no ZooKeeper here)",
		},
	} {
		b, err := config.Load(file, nil)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(b.Warnings, want) {
			t.Errorf("%s:\n%s\nwant\n%s", file, strings.Join(b.Warnings, "\n"), strings.Join(want, "\n"))
		}
	}
}

func TestBrokerIDIsNodeID(t *testing.T) {
	for text, want := range map[string]int{
		"broker.id=7":               7,
		"node.id=3\nbroker.id=7":    3,
		"node.id=5":                 5,
		"log.segment.bytes=2000000": 1,
	} {
		b, err := config.Parse("f", text, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := config.NodeID.Of(b.Values); got != want {
			t.Errorf("%q is node %d, want %d", text, got, want)
		}
	}
}

func TestWhatIsRefused(t *testing.T) {
	for name, test := range map[string]struct{ text, fail string }{
		"bad number":        {"# ours\nlog.segment.bytes = x\n", "f:2: log.segment.bytes=x: Not a number of type INT (allowed: at least 1048576)"},
		"too small":         {"log.segment.bytes=10", "f:1: log.segment.bytes=10: Value must be at least 1048576 (allowed: at least 1048576)"},
		"no choice":         {"log.flush.mode=never", "f:1: log.flush.mode=never: String must be one of: commit, interval, os (allowed: one of commit, interval, os)"},
		"tls":               {"listeners=SSL://:9093", "listeners: SSL://:9093: SSL cannot be served, there is no TLS yet; use PLAINTEXT on an address that only friends can reach, or SASL_PLAINTEXT where nobody listens"},
		"unmapped listener": {"listeners=INSIDE://:9093", "listeners: INSIDE://:9093: listener.security.protocol.map does not say the security protocol of INSIDE"},
		"bad map":           {"listener.security.protocol.map=A", "listeners: listener.security.protocol.map: A: not of the form NAME:PROTOCOL with PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL"},
		"bad listener":      {"listeners=:9092", "listeners: :9092: not of the form NAME://host:port"},
		"bad port":          {"listeners=PLAINTEXT://h:99999", "listeners: PLAINTEXT://h:99999: the port must be a number from 0 to 65535"},
		"same name":         {"listeners=PLAINTEXT://:1,PLAINTEXT://:2", "listeners: each listener must have a name of its own, PLAINTEXT is there twice"},
		"same port":         {"listeners=A://127.0.0.1:1,B://0.0.0.0:1\nlistener.security.protocol.map=A:PLAINTEXT,B:PLAINTEXT", "listeners: A://127.0.0.1:1 and B://0.0.0.0:1 have the same port"},
		"no listener":       {"listeners=", "listeners: none given"},
		"only controller":   {"listeners=CONTROLLER://:1\ncontroller.listener.names=CONTROLLER", "listeners: none is for clients"},
		"advertised any":    {"advertised.listeners=PLAINTEXT://0.0.0.0:9092", "advertised.listeners: PLAINTEXT://0.0.0.0:9092: clients cannot connect to 0.0.0.0; write the address that they can reach"},
		"advertised other":  {"advertised.listeners=A://h:1\nlistener.security.protocol.map=A:PLAINTEXT,PLAINTEXT:PLAINTEXT", "advertised.listeners: A is not one of the listeners"},
		"broker alone":      {"process.roles=broker", "process.roles=broker: this node is broker and controller at once, and cannot be one of them alone yet"},
		"three voters":      {"controller.quorum.voters=1@a:1,2@b:1,3@c:1", "controller.quorum.voters: 3 voters, but a quorum of several is not there yet; name this node alone"},
		"another voter":     {"controller.quorum.voters=2@a:1", "controller.quorum.voters: the only voter is node 2, but node.id is 1"},
		"bad voter":         {"controller.quorum.voters=a:1", "f:1: controller.quorum.voters=[a:1]: a:1 is not of the form id@host:port (allowed: words of the form id@host:port)"},
		"no retention":      {"log.retention.hours=0", "log.retention.ms, log.retention.minutes and log.retention.hours must be -1 (unlimited) or at least 1"},
		"two at once":       {"num.partitions=0\nnum.io.threads=a", "f:1: num.partitions=0: Value must be at least 1 (allowed: at least 1)\nf:2: num.io.threads=a: Not a number of type INT (allowed: at least 1)"},
		"half an escape":    {`a=\u12`, `f: line 1: \u needs four hexadecimal digits, not "12"`},
	} {
		_, err := config.Parse("f", test.text, nil)
		if err == nil || err.Error() != test.fail {
			t.Errorf("%s: %v\nwant %s", name, err, test.fail)
		}
	}
	if _, err := config.Parse("", "", []string{"num.partitions=0"}); err == nil || !strings.HasPrefix(err.Error(), "--override: num.partitions=0: ") {
		t.Errorf("an override: %v", err)
	}
	if _, err := config.Load("testdata/none", nil); err == nil || !os.IsNotExist(unwrapped(err)) {
		t.Errorf("no such file: %v", err)
	}
}

func unwrapped(err error) error {
	if u, ok := err.(interface{ Unwrap() error }); ok {
		return u.Unwrap()
	}
	return err
}

func TestWhatIsWarnedOf(t *testing.T) {
	for name, test := range map[string]struct{ text, want string }{
		"misspelt":     {"log.segment.byte=1", "f:1: log.segment.byte: unknown setting, ignored; did you mean log.segment.bytes?"},
		"swapped":      {"\nnum.partitoins=2", "f:2: num.partitoins: unknown setting, ignored; did you mean num.partitions?"},
		"topic's name": {"retention.ms=1", "f:1: retention.ms: unknown setting, ignored; this is what a topic calls it: the broker's default is log.retention.ms"},
		"topic's only": {"remote.storage.enable=true", "f:1: remote.storage.enable: unknown setting, ignored; only a topic can have it"},
		"nonsense":     {"completely.different.thing=1", "f:1: completely.different.thing: unknown setting, ignored"},
		"twice":        {"num.partitions=1\nnum.partitions=2", "f:1: num.partitions: given again in line 2, which counts"},
		"family":       {"listener.name.inside.ssl.key.password=x", "no effect: listener.name.inside.ssl.key.password (of a listener sasl.enabled.mechanisms is read, <mechanism>.sasl.jaas.config and connections.max.reauth.ms; there is no TLS yet)"},
		"open":         {"listeners=PLAINTEXT://0.0.0.0:9092", "PLAINTEXT://0.0.0.0:9092 has no access control: whoever reaches it may read and write everything"},
		"default":      {"transaction.state.log.min.isr=2", ""},
		"super users of nobody": {"super.users=User:a\nallow.everyone.if.no.acl.found=true", "super.users has no effect without authorizer.class.name: everybody may do everything\n" +
			"allow.everyone.if.no.acl.found has no effect without authorizer.class.name: everybody may do everything"},
		"a selector":    {"replica.selector.class=org.apache.kafka.common.replica.RackAwareReplicaSelector", "no effect: replica.selector.class (this broker has no others to talk to yet)"},
		"an authorizer": {"authorizer.class.name=mine\nsuper.users=User:a\nlisteners=PLAINTEXT://:9092", ""},
	} {
		b, err := config.Parse("f", test.text, nil)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if got := strings.Join(b.Warnings, "\n"); got != test.want {
			t.Errorf("%s: %s\nwant %s", name, got, test.want)
		}
	}
}

func TestListeners(t *testing.T) {
	b, err := config.Parse("f", strings.Join([]string{
		"listeners = inside://[::1]:9092 , OUTSIDE://:0, CONTROLLER://:9093",
		"advertised.listeners = OUTSIDE://broker.example:29092",
		"listener.security.protocol.map = INSIDE:PLAINTEXT,outside:plaintext",
		"controller.listener.names = CONTROLLER",
	}, "\n"), nil)
	if err != nil {
		t.Fatal(err)
	}
	show := func(list []config.Listener) string {
		var words []string
		for _, l := range list {
			word := l.String()
			if l.Controller {
				word += "(controller)"
			}
			words = append(words, word)
		}
		return strings.Join(words, " ")
	}
	if got, want := show(b.Listeners), "INSIDE://[::1]:9092 OUTSIDE://:0 CONTROLLER://:9093(controller)"; got != want {
		t.Errorf("listeners %s, want %s", got, want)
	}
	if got, want := show(b.Advertised), "OUTSIDE://broker.example:29092 INSIDE://[::1]:9092"; got != want {
		t.Errorf("advertised %s, want %s", got, want)
	}
	if len(b.Warnings) != 1 || !strings.HasPrefix(b.Warnings[0], "OUTSIDE://:0 ") {
		t.Errorf("warnings %q", b.Warnings)
	}
}

// Any file is read or refused, and the reader never falls over.
func FuzzParse(f *testing.F) {
	for _, file := range []string{"testdata/kraft.properties", "testdata/zookeeper.properties"} {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Add("listeners=A://[::1]:1,B://:0\nlistener.security.protocol.map=A:PLAINTEXT,B:PLAINTEXT\n")
	f.Add("controller.quorum.voters=1@:9093\nnode.id=1\nlog.retention.minutes=-1")
	fuzz.Run(f, func(t *testing.T, text string) {
		b, err := config.Parse("f", text, nil)
		if err != nil {
			return
		}
		config.DescribeBroker(b.Values, nil)
		for _, l := range b.Listeners {
			if l.Name == "" || l.Port < 0 || l.Port > 65535 {
				t.Fatalf("listener %+v", l)
			}
		}
	})
}
