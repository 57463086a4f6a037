package docs

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/engine/config"
	_ "github.com/millrace/millrace/plugins/standard"
	"github.com/millrace/millrace/sdk"
	"github.com/millrace/millrace/sdk/client"
	"github.com/millrace/millrace/sdk/kit"
	"github.com/millrace/millrace/sdk/setting"
)

// patience is for what happens at once unless something is broken.
const patience = time.Minute

// lockedLog is a log that brokers write and tests read.
type lockedLog struct {
	lock sync.Mutex
	text bytes.Buffer
}

func (l *lockedLog) Write(p []byte) (int, error) {
	l.lock.Lock()
	defer l.lock.Unlock()
	return l.text.Write(p)
}

func (l *lockedLog) String() string {
	l.lock.Lock()
	defer l.lock.Unlock()
	return l.text.String()
}

// properties are those of a block.
func properties(t *testing.T, b *block) map[string]string {
	t.Helper()
	lines, err := setting.ParseProperties(b.text)
	if err != nil {
		t.Fatalf("%v: %v", b, err)
	}
	all := map[string]string{}
	for _, line := range lines {
		if _, twice := all[line.Key]; twice {
			t.Errorf("%v: %s is there twice", b, line.Key)
		}
		all[line.Key] = line.Value
	}
	return all
}

// brokerSettings is for settings of brokers: each of them is known, has an effect and a value that it may have.
func brokerSettings(t *testing.T, b *block) {
	settings, err := config.Parse(b.String(), b.text, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, warning := range settings.Warnings {
		if !strings.Contains(warning, "not encrypted") {
			t.Errorf("%v: %s", b, warning)
		}
	}
}

// record is what a test sends: dedupe wants a header called id.
func record(topic, value string) *kgo.Record {
	return &kgo.Record{Topic: topic, Key: []byte("k"), Value: []byte(value), Headers: []kgo.RecordHeader{{Key: "id", Value: []byte{1}}}}
}

// stored sends a value, which must be stored, and answers what is stored: value, then headers.
func stored(t *testing.T, address, topic, value string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if send(t, address, record(topic, value), ""); t.Failed() {
		t.FailNow()
	}
	reader, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.ConsumeTopics(topic))
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	for {
		fetches := reader.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatalf("read %s: %v", topic, err)
		}
		for r := range fetches.RecordsAll() {
			text := string(r.Value)
			for _, h := range r.Headers {
				text += fmt.Sprintf(" %s=%s", h.Key, h.Value)
			}
			return text
		}
	}
}

// send sends a record; the error is to have refused in it, or not to be.
func send(t *testing.T, address string, r *kgo.Record, refused string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	writer, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.ClientID("shop"))
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	err = writer.ProduceSync(ctx, r).FirstErr()
	if refused == "" && err != nil || refused != "" && (err == nil || !strings.Contains(err.Error(), refused)) {
		t.Errorf("sending %q to %s: %v, want %q", r.Value, r.Topic, err, refused)
	}
}

const card = `{"id":"1","card":{"number":"4711"}}`

// shipped is how it is seen that a block of docs/plugins.md does what the page says, by its first line that is a setting.
var shipped = map[string]struct {
	good    string // is stored
	shows   string // and what is stored looks so
	refused string // is not stored
}{
	"plugins=hide-cards,orders": {good: card, shows: `^\{"id":"1","card":\{"number":"[^4][^"]*"\}\}`},
	"plugins=mask":              {good: card, shows: `^\{"id":"1","card":\{"number":"[^4"][^"]+|^\{"id":"1","card":\{"number":"[0-9a-f]{16,}"`},
	"plugins=orders":            {good: card, shows: `"4711"`, refused: `{"id":1}`},
	"plugins=schema-id":         {good: "\x00\x00\x00\x00\x11x", shows: "x", refused: "\x00\x00\x00\x00\x12x"},
	"plugins=header-stamp":      {good: card, shows: `received=.* client=shop|client=shop .*received=`},
	"plugins=dedupe":            {good: card, shows: `"4711"`},
	"plugins=rate-limit":        {good: card, shows: `"4711"`},
	"plugins=audit-log":         {good: card, shows: `"4711"`},
}

// brokerPlugins is for settings of plugins: a broker starts with them, makes the plugins, and they see what is sent.
func brokerPlugins(t *testing.T, b *block) {
	settings := properties(t, b)
	want, known := shipped["plugins="+settings["plugins"]]
	if !known {
		t.Fatalf("%v: say in shipped what the plugins of plugins=%s do", b, settings["plugins"])
	}
	files := t.TempDir()
	settings["plugin.dir"] = files
	if _, given := settings["interceptors"]; !given {
		settings["interceptors"] = settings["plugins"]
	}
	if _, asks := settings["plugin.schema-id.config.registry"]; asks {
		registry := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"schema":"{}"}`) }))
		t.Cleanup(registry.Close)
		settings["plugin.schema-id.config.registry"] = registry.URL
	}
	var log lockedLog
	broker := kit.Start(t, kit.Options{Settings: settings, Topics: map[string]int32{"payments": 1, "orders.bad": 1}, Log: slog.New(slog.NewTextHandler(&log, nil))})
	if said := stored(t, broker.Address(), "payments", want.good); !regexp.MustCompile(want.shows).MatchString(said) {
		t.Errorf("%v: stored is %q, want %s", b, said, want.shows)
	}
	if want.refused != "" {
		send(t, broker.Address(), record("payments", want.refused), "INVALID_RECORD")
	}
	if name, given := settings["plugin.audit-log.config.file"]; given && !strings.Contains(read(t, filepath.Join(files, name)), "payments") {
		t.Errorf("%v: %s says nothing of the topic", b, name)
	}
	if strings.Contains(log.String(), "level=ERROR") {
		t.Errorf("%v: the broker says\n%s", b, &log)
	}
}

// pluginsByTool is for plugins that Kafka's tool loads, and the topic that they are for.
func pluginsByTool(t *testing.T, b *block) {
	broker := kit.Start(t, kit.Options{Topics: map[string]int32{"payments": 1}})
	typed(t, t.TempDir(), strings.ReplaceAll(b.text, "localhost:9092", broker.Address()))
	if said := stored(t, broker.Address(), "payments", card); strings.Contains(said, "4711") || !strings.Contains(said, `"card":{"number":`) {
		t.Errorf("%v: stored is %q", b, said)
	}
}

// maskingProducer is for an interceptor that runs in a producer.
func maskingProducer(t *testing.T, b *block) {
	broker := kit.Start(t, kit.Options{Topics: map[string]int32{"payments": 1}})
	var log bytes.Buffer
	producer, err := client.NewProducer(clientConfig(t, b.text, broker.Address()), client.ProducerOptions[string, string]{Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatalf("%v: %v", b, err)
	}
	sendAndClose(t, producer, &client.ProducerRecord[string, string]{Topic: "payments", Value: card})
	if log.Len() > 0 {
		t.Errorf("%v: the producer says %s", b, &log)
	}
	if said := first(t, broker.Address(), "payments"); strings.Contains(said, "4711") {
		t.Errorf("%v: stored is %q", b, said)
	}
}

// clientConfig is the settings of a text, for a broker.
func clientConfig(t *testing.T, text, address string) client.Config {
	t.Helper()
	c, err := client.ParseConfig(text)
	if err != nil {
		t.Fatal(err)
	}
	return c.With("bootstrap.servers", address)
}

func sendAndClose[K, V any](t *testing.T, producer *client.Producer[K, V], r *client.ProducerRecord[K, V]) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if _, err := producer.Send(ctx, r).Get(ctx); err != nil {
		t.Error(err)
	}
	if err := producer.Close(ctx); err != nil {
		t.Error(err)
	}
}

// first is the first value of a topic.
func first(t *testing.T, address, topic string) string {
	t.Helper()
	return strings.TrimSuffix(typed(t, t.TempDir(), "millrace consume --topic "+topic+" --from-beginning --max-messages 1", "MILLRACE_BOOTSTRAP_SERVER="+address), "\n")
}

// modules are the files of docs/wasm.md, and which module of plugins/wasm/testdata stands in for each.
var modules = map[string]string{
	"by-byte": "partitioner", "reading": "serializer", "redact": "mask", "origin": "producer_interceptor", "fair": "assignor",
}

// clientModules is for modules that clients name: one producer has all that is said to be for it, and a consumer
// reads what it has sent.
func clientModules(t *testing.T, b *block) {
	text := b.text
	for name, file := range modules {
		path := absolute(t, "../plugins/wasm/testdata/"+file+".wasm")
		sum := sha256.Sum256([]byte(read(t, path)))
		shown := "/etc/orders/" + name + ".wasm"
		if !strings.Contains(text, shown) {
			t.Errorf("%v: %s is not there", b, shown)
		}
		text = strings.ReplaceAll(text, shown, path)
		text = strings.ReplaceAll(text, "plugin."+name+".sha256=…", "plugin."+name+".sha256="+hex.EncodeToString(sum[:]))
	}
	ours, theirs, found := strings.Cut(text, "# and in a consumer\n")
	if !found || strings.Contains(text, "…") {
		t.Fatalf("%v: there is nothing for a consumer, or something is left out:\n%s", b, text)
	}
	for line := range strings.Lines(ours) {
		if strings.HasPrefix(line, "plugin.reading.") { // of both
			theirs += line
		}
	}
	broker := kit.Start(t, kit.Options{Topics: map[string]int32{"readings": 4}})
	producer, err := client.NewProducer(clientConfig(t, ours, broker.Address()), client.ProducerOptions[[]byte, int32]{})
	if err != nil {
		t.Fatalf("%v: %v", b, err)
	}
	sendAndClose(t, producer, &client.ProducerRecord[[]byte, int32]{Topic: "readings", Key: []byte{2, 'k'}, Value: 21})
	reads(t, clientConfig(t, theirs, broker.Address()))
}

// reads reads the one record of clientModules.
func reads(t *testing.T, c client.Config) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	consumer, err := client.NewConsumer(c.With("group.id", "readers").With("auto.offset.reset", "earliest"), client.ConsumerOptions[[]byte, int32]{})
	if err != nil {
		t.Fatal(err)
	}
	if err := consumer.Subscribe([]string{"readings"}, nil); err != nil {
		t.Fatal(err)
	}
	var records []*client.ConsumerRecord[[]byte, int32]
	for len(records) == 0 {
		if records, err = consumer.Poll(ctx, time.Second); err != nil {
			t.Fatal(err)
		}
	}
	if r := records[0]; r.Value != 21 || r.Partition != 2 || !slices.ContainsFunc(r.Headers, func(h sdk.Header) bool { return h.Key == "unit" }) {
		t.Errorf("read is %+v", r)
	}
	if err := consumer.Close(ctx); err != nil {
		t.Error(err)
	}
}

// passwords is for docs/security.md: a broker has the settings, but for its ports, the tools set a password, and a
// client that has the settings of the page is served.
func passwords(t *testing.T, b *block) {
	brokerSettings(t, b)
	text := strings.NewReplacer("127.0.0.1:9092", "127.0.0.1:0", "127.0.0.1:9093", "127.0.0.1:0").Replace(b.text)
	settings, err := config.Parse(b.String(), text, []string{"log.dirs=" + t.TempDir(), "admin.listener=", "log.journal.bytes=0"})
	if err != nil {
		t.Fatal(err)
	}
	broker, err := engine.Start(engine.Options{Settings: settings, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := broker.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	strict, local := broker.Addresses()[0], broker.Addresses()[1]
	lines := sibling(t, b.page, "sh", "kafka-configs.sh").text
	said := typed(t, t.TempDir(), strings.ReplaceAll(lines, "127.0.0.1:9093", local))
	if !strings.Contains(said, "SCRAM-SHA-512=iterations=") {
		t.Errorf("%v: after the lines below it alice has no password:\n%s", b, said)
	}
	ours := sibling(t, b.page, "properties", "security.protocol").text
	for _, wrong := range []bool{true, false} {
		text := ours
		if wrong {
			text = strings.ReplaceAll(text, "alice-secret", "a guess")
		}
		producer, err := client.NewProducer(clientConfig(t, text, strict), client.ProducerOptions[string, string]{Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		if !wrong {
			sendAndClose(t, producer, &client.ProducerRecord[string, string]{Topic: "letters", Value: "dear"})
			continue
		}
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		if _, err := producer.Send(ctx, &client.ProducerRecord[string, string]{Topic: "letters", Value: "dear"}).Get(ctx); err == nil {
			t.Error("a wrong password is as good as the right one")
		}
		if err := producer.Close(ctx); err != nil {
			t.Error(err)
		}
	}
	if said := first(t, local, "letters"); said != "dear" {
		t.Errorf("stored is %q", said)
	}
}

var values = regexp.MustCompile(`=\S+`)

// rules is for docs/acls.md: with its settings, and the test for a super user, the lines are typed and print what the
// page shows; then, for somebody whom no rule allows anything, the broker logs such a line as is shown.
func rules(t *testing.T, b *block) {
	brokerSettings(t, b)
	settings := properties(t, b)
	settings["super.users"] += ";User:ANONYMOUS"
	broker := kit.Start(t, kit.Options{Settings: settings, Topics: map[string]int32{"orders": 1}})
	for _, part := range strings.Split("\n"+sibling(t, b.page, "", "$ millrace acls").text, "\n$ ")[1:] {
		line, want, _ := strings.Cut(part, "\n")
		said := typed(t, t.TempDir(), line, "MILLRACE_BOOTSTRAP_SERVER="+broker.Address())
		if want = strings.TrimSpace(want); !strings.HasPrefix(strings.TrimSpace(said), want) {
			t.Errorf("%v: %s printed\n%s\nwant\n%s", b, line, said, want)
		}
	}
	var log lockedLog
	broker = kit.Start(t, kit.Options{Settings: properties(t, b), Log: slog.New(slog.NewTextHandler(&log, nil))})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	nobody, err := kgo.NewClient(kgo.SeedBrokers(broker.Address()))
	if err != nil {
		t.Fatal(err)
	}
	defer nobody.Close()
	if err := nobody.ProduceSync(ctx, record("orders", "x")).FirstErr(); err == nil {
		t.Error("whom no rule allows anything may write")
	}
	shown := strings.TrimSpace(sibling(t, b.page, "", "level=WARN msg=denied").text)
	shape := values.ReplaceAllString(strings.TrimPrefix(shown, "level=WARN msg=denied "), "=")
	for line := range strings.Lines(log.String()) {
		if _, rest, found := strings.Cut(strings.TrimSpace(line), "level=WARN msg=denied "); found {
			if values.ReplaceAllString(rest, "=") != shape {
				t.Errorf("the log says %s, and the page shows %s", rest, shown)
			}
			return
		}
	}
	t.Errorf("the log has no denial:\n%s", &log)
}
