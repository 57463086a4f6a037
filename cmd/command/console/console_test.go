package console

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/cmd/command/session"
	"github.com/millrace/millrace/engine/fuzz"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

func TestReadLine(t *testing.T) {
	for text, want := range map[string][]string{
		"":            nil,
		"a\nb":        {"a", "b"},
		"a\r\nb\rc\n": {"a", "b", "c"},
		"\n\n":        {"", ""},
		"no end":      {"no end"},
		"bytes\xff\n": {"bytes\xff"},
		"a\n\r\n":     {"a", ""},
	} {
		in := bufio.NewReader(strings.NewReader(text))
		var got []string
		for {
			line, err := readLine(in)
			if errors.Is(err, io.EOF) {
				break
			}
			got = append(got, string(line))
		}
		if strings.Join(got, "|") != strings.Join(want, "|") || len(got) != len(want) {
			t.Errorf("%q: lines %q, want %q", text, got, want)
		}
	}
}

func TestReaderMistakes(t *testing.T) {
	for want, properties := range map[string]map[string]string{
		"headers.delimiter and headers.separator may not be equal":     {"headers.separator": "\t"},
		"headers.delimiter and headers.key.separator may not be equal": {"headers.delimiter": ":"},
		"headers.separator and headers.key.separator may not be equal": {"headers.separator": ":"},
		"null.marker and key.separator may not be equal":               {"null.marker": "=", "key.separator": "="},
		"null.marker and headers.separator may not be equal":           {"null.marker": ","},
	} {
		if _, err := NewReader("t", properties); err == nil || err.Error() != want {
			t.Errorf("%v: %v, want %s", properties, err, want)
		}
	}
	for want, line := range map[string]string{
		"No headers delimiter found on line number 1: 'none'":                             "none",
		"No key separator found on line number 1: 'h:1\tkey'":                             "h:1\tkey",
		"No header key separator found in pair 'h' on line number 1":                      "h\tk\tv",
		"Header keys should not be equal to the null marker 'NULL' as they can't be null": "NULL:1\tk\tv",
	} {
		reader, err := NewReader("t", map[string]string{"parse.key": "true", "parse.headers": " TRUE", "null.marker": "NULL"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := reader.Record([]byte(line)); err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %s", line, err, want)
		}
	}
}

// With null and empty apart, and errors ignored, whatever there is becomes a record.
func TestReaderIgnoresErrors(t *testing.T) {
	reader, err := NewReader("t", map[string]string{"parse.key": "true", "parse.headers": "true", "ignore.error": "true", "headers.delimiter": "|"})
	if err != nil {
		t.Fatal(err)
	}
	record, err := reader.Record([]byte("bare,h:|\tvalue"))
	if err != nil || len(record.Headers) != 2 || record.Headers[0].Value != nil || record.Headers[1].Value == nil || record.Key == nil || len(record.Key) != 0 {
		t.Errorf("%+v %v", record, err)
	}
	record, err = reader.Record([]byte{})
	if err != nil || record.Key != nil || record.Value == nil {
		t.Errorf("an empty line became %+v, %v", record, err)
	}
}

func FuzzReader(f *testing.F) {
	f.Add("h:v,i:w\tkey\tvalue", true)
	f.Add("", false)
	fuzz.Run(f, func(t *testing.T, line string, ignore bool) {
		properties := map[string]string{"parse.key": "true", "parse.headers": "true", "null.marker": "NULL"}
		if ignore {
			properties["ignore.error"] = "true"
		}
		reader, err := NewReader("t", properties)
		if err != nil {
			t.Fatal(err)
		}
		record, err := reader.Record([]byte(line))
		if err != nil && ignore && !strings.Contains(line, "NULL:") {
			t.Fatalf("%q: %v although errors are ignored", line, err)
		}
		if err == nil && len(record.Key)+len(record.Value) > len(line) {
			t.Fatalf("%q became longer: %+v", line, record)
		}
	})
}

func format(t *testing.T, properties map[string]string, r *kgo.Record) (string, error) {
	t.Helper()
	formatter, err := NewFormatter("", properties)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	w := bufio.NewWriter(&out)
	err = formatter.Write(w, r)
	return flushed(w, &out), err
}

func flushed(w *bufio.Writer, out *bytes.Buffer) string {
	if err := w.Flush(); err != nil {
		panic(err)
	}
	return out.String()
}

func TestFormat(t *testing.T) {
	record := &kgo.Record{Key: []byte{0, 0, 1, 0}, Partition: 3, Offset: 12, LeaderEpoch: 4, Timestamp: time.UnixMilli(1234), Headers: []kgo.RecordHeader{{Key: "h", Value: []byte("\x00\x07")}, {Key: "n"}}}
	for want, properties := range map[string]map[string]string{
		"null\n":      {},
		"256\tnull\n": {"print.key": "true", "key.deserializer": "org.apache.kafka.common.serialization.IntegerDeserializer", "value.deserializer": "LongDeserializer"},
		"CreateTime:1234;Partition:3;Offset:12;Delivery:NOT_PRESENT;Epoch:4.": {"print.timestamp": "true", "print.partition": "true", "print.offset": "true", "print.delivery": "true", "print.epoch": "true", "print.value": "false", "key.separator": ";", "line.separator": "."},
		"h:7/n:-\t-\n": {"print.headers": "true", "headers.deserializer": "ShortDeserializer", "headers.separator": "/", "null.literal": "-"},
		"":             {"print.value": "false"},
	} {
		if got, err := format(t, properties, record); got != want || err != nil {
			t.Errorf("%v: %q, %v, want %q", properties, got, err, want)
		}
	}
}

func TestDeserializers(t *testing.T) {
	for _, test := range []struct{ class, data, want string }{
		{"String", "é", "é"}, {"ByteArray", "\xff", "\xff"}, {"Bytes", "a\xff", `a\xFF`}, {"Short", "\xff\xfe", "-2"}, {"Integer", "\xff\xff\xff\xff", "-1"},
		{"Long", "\x00\x00\x00\x00\x00\x00\x00\x07", "7"}, {"Float", "\x3f\x80\x00\x00", "1.0"}, {"Double", "\x3f\xf8\x00\x00\x00\x00\x00\x00", "1.5"},
		{"Boolean", "\x01", "true"}, {"UUID", "1-2-3-4-ABC", "00000001-0002-0003-0004-000000000abc"},
	} {
		got, err := format(t, map[string]string{"value.deserializer": test.class + "Deserializer"}, &kgo.Record{Value: []byte(test.data)})
		if err != nil || got != test.want+"\n" {
			t.Errorf("%s: %q, %v, want %q", test.class, got, err, test.want)
		}
	}
	for class, want := range map[string]string{
		"Integer": "Size of data received by IntegerDeserializer is not 4", "Double": "Size of data received by Deserializer is not 8",
		"Boolean": "Size of data received by BooleanDeserializer is not 1", "UUID": `Error parsing data into UUID: "x\x00y"`,
	} {
		if _, err := format(t, map[string]string{"value.deserializer": class + "Deserializer"}, &kgo.Record{Value: []byte("x\x00y")}); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", class, err, want)
		}
	}
	if _, err := NewFormatter("", map[string]string{"key.deserializer": "Nonsense"}); err == nil {
		t.Error("a deserializer that nobody knows was found")
	}
	if _, err := NewFormatter("org.example.Mine", nil); err == nil {
		t.Error("a formatter that nobody knows was found")
	}
}

func cluster(t *testing.T) string {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "lines"), kfake.BrokerConfigs(map[string]string{"group.initial.rebalance.delay.ms": "0"}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c.ListenAddrs()[0]
}

func produce(t *testing.T, address, text string) {
	t.Helper()
	reader, err := NewReader("lines", nil)
	if err != nil {
		t.Fatal(err)
	}
	err = Produce(t.Context(), session.Options{Servers: address, Properties: session.Properties{"linger.ms": "0"}, Streams: session.Streams{In: strings.NewReader(text), Out: io.Discard, Err: os.Stderr}},
		ProduceOptions{Reader: reader})
	if err != nil {
		t.Fatal(err)
	}
}

// consume runs Consume with lines as the topic.
func consume(ctx context.Context, t *testing.T, address string, out io.Writer, o ConsumeOptions, properties session.Properties) (errs string, err error) {
	t.Helper()
	formatter, err := NewFormatter("", nil)
	if err != nil {
		t.Fatal(err)
	}
	o.Topic, o.Formatter = "lines", formatter
	if properties == nil {
		properties = session.Properties{}
	}
	properties.Default("auto.offset.reset", "earliest")
	var buf bytes.Buffer
	err = Consume(ctx, session.Options{Servers: address, Properties: properties, Streams: session.Streams{Out: out, Err: &buf}}, o)
	return buf.String(), err
}

// An interrupt ends the consumer; how many records there were is said all the same,
// and what was printed is committed.
func TestInterrupt(t *testing.T) {
	address := cluster(t)
	produce(t, address, "one\ntwo\n")
	ctx, cancel := context.WithCancel(t.Context())
	out := &countdown{n: 2, zero: cancel}
	errs, err := consume(ctx, t, address, out, ConsumeOptions{Max: -1}, session.Properties{"group.id": "g"})
	if err != nil || errs != "Processed a total of 2 messages\n" {
		t.Errorf("%q, %v", errs, err)
	}
	produce(t, address, "three\n")
	var rest bytes.Buffer
	if errs, err := consume(t.Context(), t, address, &rest, ConsumeOptions{Max: 1}, session.Properties{"group.id": "g"}); err != nil || rest.String() != "three\n" {
		t.Errorf("the group went on with %q: %s %v", rest.String(), errs, err)
	}
}

// countdown calls zero when n lines were written.
type countdown struct {
	n    int
	zero func()
}

func (c *countdown) Write(p []byte) (int, error) {
	c.n -= bytes.Count(p, []byte("\n"))
	if c.n <= 0 {
		c.zero()
	}
	return len(p), nil
}

func TestTimeout(t *testing.T) {
	address := cluster(t)
	produce(t, address, "only\n")
	var out bytes.Buffer
	errs, err := consume(t.Context(), t, address, &out, ConsumeOptions{Max: -1, Timeout: 2 * time.Second}, nil)
	if err != nil || out.String() != "only\n" || !strings.Contains(errs, "no message for 2s") || !strings.HasSuffix(errs, "Processed a total of 1 messages\n") {
		t.Errorf("%q %q %v", out.String(), errs, err)
	}
}

// closedPipe is what standard output is once its reader has gone.
type closedPipe struct{}

func (closedPipe) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

func TestNobodyReads(t *testing.T) {
	address := cluster(t)
	produce(t, address, "one\n")
	errs, err := consume(t.Context(), t, address, closedPipe{}, ConsumeOptions{Max: -1}, nil)
	if err != nil || errs != "Unable to write to standard out, closing consumer.\nProcessed a total of 1 messages\n" {
		t.Errorf("%q %v", errs, err)
	}
}

// A line that cannot be made a record ends the producer, after what came before it
// was sent.
func TestProduceStopsAtMistake(t *testing.T) {
	address := cluster(t)
	reader, err := NewReader("lines", map[string]string{"parse.key": "true", "key.separator": "="})
	if err != nil {
		t.Fatal(err)
	}
	err = Produce(t.Context(), session.Options{Servers: address, Properties: session.Properties{}, Streams: session.Streams{In: strings.NewReader("k=v\nnone\nk=w\n"), Out: io.Discard, Err: io.Discard}},
		ProduceOptions{Reader: reader})
	if err == nil || !strings.Contains(err.Error(), "line number 2") {
		t.Errorf("%v", err)
	}
	var out bytes.Buffer
	if _, err := consume(t.Context(), t, address, &out, ConsumeOptions{Max: -1, Timeout: 2 * time.Second}, nil); err != nil || out.String() != "v\n" {
		t.Errorf("sent %q, %v", out.String(), err)
	}
}

// On a terminal each line is asked for.
func TestPrompt(t *testing.T) {
	address := cluster(t)
	reader, err := NewReader("lines", nil)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	err = Produce(t.Context(), session.Options{Servers: address, Properties: session.Properties{}, Streams: session.Streams{In: strings.NewReader("a\nb\n"), Out: &out, Err: io.Discard, Terminal: true}},
		ProduceOptions{Reader: reader, Sync: true})
	if err != nil || out.String() != ">>>" {
		t.Errorf("prompts %q, %v", out.String(), err)
	}
}
